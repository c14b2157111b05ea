// The kernels that score codes, one table an instruction set, chosen once at run time. The scalar
// table is the definition; sums are integers, so every other table gives the same bits.
//
// Blocked codes: 16 rows a block, word-major: word k of row r of a block stands at k * 16 + r. A
// scan streams through them. Row codes: one row after the other, for rows picked one by one.
// Kernels allocate nothing and throw nothing. Threads: tables are constants, kernels run anywhere.
#pragma once

#include <cstdint>

namespace nestor::index {

inline constexpr std::int64_t kBlockRows = 16;
// Four weights of codes of 1 bit add up to this at most, so that a table of bytes holds their sums.
inline constexpr int kNibbleBias = 4 * 31;

struct ScanTask {
  const std::uint32_t* blocks = nullptr;  // (blocks, words, 16)
  std::int64_t words = 0;
  int bits = 0;
  std::int64_t block_begin = 0;
  std::int64_t block_end = 0;
  const std::uint64_t* live = nullptr;    // one bit a row, from row 0 of block 0 on
  const std::int8_t* weights = nullptr;   // CodeQuery::weights
  const std::uint8_t* nibbles = nullptr;  // CodeQuery::nibbles, of 1 bit
  std::int32_t threshold = 0;
  std::uint32_t first_position = 0;  // of row 0 of block 0
  // What is kept, in the order of the rows; room for 16 more than there are rows to scan.
  std::int32_t* scores = nullptr;
  std::uint32_t* positions = nullptr;
};

struct RowsTask {
  const std::uint32_t* codes = nullptr;  // (rows, words)
  std::int64_t words = 0;
  int bits = 0;
  const std::int8_t* row_weights = nullptr;  // CodeQuery::row_weights
  const std::uint32_t* rows = nullptr;       // (count), or null: 0 to count - 1
  std::uint32_t first_row = 0;               // taken off each of `rows`
  std::int64_t count = 0;
  std::int32_t* scores = nullptr;  // (count)
};

struct ScanKernels {
  const char* name;
  // Appends every live row of score >= threshold; returns how many.
  std::int64_t (*scan)(const ScanTask& task);
  void (*score_rows)(const RowsTask& task);
  // How many of (count) scores are >= threshold.
  std::int64_t (*count_at_least)(const std::int32_t* scores, std::int64_t count,
                                 std::int32_t threshold);
};

const ScanKernels& scalar_scan_kernels();
// Null where this build has no such kernels.
const ScanKernels* avx2_scan_kernels();
const ScanKernels* avx512_scan_kernels();

}  // namespace nestor::index
