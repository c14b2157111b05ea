// The best of many integer scores, exactly: of equal ones those that come first. No branch asks
// about a single row, so the cost does not depend on the order of the rows. Threads: free
// functions; a CodeList belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "index/code_quantizer.h"
#include "index/scan_kernels.h"

namespace nestor::index {

// Scores and their positions, in the order of the positions.
struct CodeList {
  std::unique_ptr<std::int32_t[]> scores;
  std::unique_ptr<std::uint32_t[]> positions;
  std::int64_t count = 0;
  std::int64_t room = 0;

  CodeList() = default;
  // Throws std::bad_alloc.
  explicit CodeList(std::int64_t room);
  // Leaves the best `keep`; returns the least score among them. REQUIRES: 0 < keep <= count.
  std::int32_t cut(const ScanKernels& kernels, std::int64_t keep);
};

// The `rank`-th greatest of (count) scores. REQUIRES: 0 < rank <= count.
std::int32_t nth_greatest(const ScanKernels& kernels, const std::int32_t* scores,
                          std::int64_t count, std::int64_t rank);

// Rows [begin, end) of blocked codes and the bits of those that may be found.
struct ScanRange {
  const std::uint32_t* blocks = nullptr;  // of row 0
  std::int64_t words = 0;
  int bits = 0;
  std::int64_t begin = 0;               // a multiple of 16
  std::int64_t end = 0;                 // the last block is scanned whole
  const std::uint64_t* live = nullptr;  // of row 0; no bit set where there is no row
  std::uint32_t first_position = 0;     // of row 0
  [[nodiscard]] std::int64_t rows() const { return end - begin; }
};

inline constexpr std::int64_t kMostTogether = kMostQuestions;

// For each query the best `keep` of `live_count` live rows over all ranges (in the order of their
// positions), in the order of their positions; the same for all kernels, however the ranges are cut
// and whichever queries are asked together: they share one walk over the codes. `live_count` is
// only a means of guessing where the cut will be. Fewer only if fewer are live. REQUIRES: queries
// of one shape, at most kMostTogether. Memory: a query 8 bytes for each of 2 `keep` + 8,192 rows,
// all together at most as many again for samples, and 32 rows of bytes. Throws std::bad_alloc.
std::vector<CodeList> best_codes_of_many(const ScanKernels& kernels,
                                         std::span<const ScanRange> ranges,
                                         std::span<const CodeQuery> queries, std::int64_t keep,
                                         std::int64_t live_count);
// The same for one query.
CodeList best_codes(const ScanKernels& kernels, std::span<const ScanRange> ranges,
                    const CodeQuery& query, std::int64_t keep, std::int64_t live_count);

}  // namespace nestor::index
