// RowCache: the rows of a collection at full width in 8 bits a component with a scale of their own,
// for ranking a few hundred candidates, or all rows of a small collection, almost exactly: a
// quarter of the bytes of f32. The final few are for the caller to score from the store's own rows.
//
// Rows are appended in memory; `save_tail` puts them into a segment of two files: PATH, an index
// file with ids, scales and a checksum of each row, and PATH.rows, which is mapped. Opening reads
// the first only; a row is checked whenever it is read.
// STORED: storage/FORMAT.md, section "Row caches".
//
// Threads: const calls at once; the others need the owner's exclusive lock.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/coarse_index.h"
#include "index/index_file.h"
#include "nestor/status.h"

namespace nestor::index {

// How two rows compare. STORED: never renumber.
enum class Metric : std::uint32_t {
  kCosine = 0,
  kDot = 1,
  kL2 = 2,  // score: minus the squared distance
};

class RowCache {
 public:
  // REQUIRES: width from 1 to kMostCodeWidth.
  RowCache(int width, Metric metric);
  ~RowCache();
  RowCache(RowCache&&) noexcept;
  RowCache& operator=(RowCache&&) noexcept;

  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] Metric metric() const { return metric_; }
  [[nodiscard]] std::int64_t row_count() const;
  [[nodiscard]] std::int64_t tail_count() const;
  // Bytes in this process's own memory; mapped rows are not among them.
  [[nodiscard]] std::int64_t memory_bytes() const;
  // Bytes a row takes on disk: width + 20, the width rounded up to 4.
  [[nodiscard]] std::int64_t disk_bytes_a_row() const;

  // `rows` (ids, width). Ids ascend and are above all earlier ones. All or nothing.
  // Errors: kInvalidArgument, kOutOfMemory.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  // Writes the rows added since the last segment and maps them from then on.
  // Errors: those of write_index_file; kFailedPrecondition (nothing to write).
  Status save_tail(const std::string& path, const IndexIdentity& identity);
  // Joins a segment on. Errors: kDataLoss (damaged, of another width or metric, ids not above those
  // there), those of read_index_file.
  Result<IndexIdentity> open_segment(const std::string& path);

  // The best `count` of `ids` (in any order), best first, equal scores by lower id. Scores are off
  // by less than .002 of the product of the lengths. Errors: kNotFound (an id that is not here),
  // kDataLoss (a row's checksum), kInvalidArgument, kOutOfMemory.
  Result<std::vector<Candidate>> rank(std::span<const float> query,
                                      std::span<const std::uint64_t> ids, std::int64_t count) const;

 private:
  struct Segment;
  int width_;
  Metric metric_;
  std::vector<std::unique_ptr<Segment>> segments_;  // the last one may be the tail in memory
};

}  // namespace nestor::index
