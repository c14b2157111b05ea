// RowCache: the rows of a collection at full width in 8 bits a component with a scale of their own,
// for ranking a few hundred candidates, or all rows of a small collection, almost exactly: a
// quarter of the bytes of f32. The final few are for the caller to score from the store's own rows.
//
// Rows are appended in memory, at the tail; `write_tail` puts them into a segment of two files:
// PATH, an index file with ids, scales and a checksum of each row, and PATH.rows, which is mapped.
// Opening reads the first only; a row is checked whenever it is read. Removed rows stay until a
// `gather_tail` meets them.
// STORED: storage/FORMAT.md, section "Row caches".
//
// A copy shares the rows; what is done to either one later does not show in the other.
//
// Threads: const calls at once; the others alone on their object, beside any use of copies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "index/coarse_index.h"
#include "index/index_file.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor::index {

// Scores here and in the other indexes: of kL2 minus the squared distance.
using nestor::Metric;

struct RowSegment {
  std::string path;
  IndexIdentity identity;
};

class RowCache {
 public:
  // Four standard deviations of what rounding both sides to 255 levels adds to a cosine of normally
  // distributed components (768 of them; .00046 each).
  static constexpr double kScoreError = .002;

  // REQUIRES: width from 1 to kMostCodeWidth.
  RowCache(int width, Metric metric);
  ~RowCache();
  // Throws std::bad_alloc. Cost: a pointer per segment.
  RowCache(const RowCache& other);
  RowCache(RowCache&&) noexcept;
  RowCache& operator=(RowCache&&) noexcept;

  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] Metric metric() const { return metric_; }
  [[nodiscard]] std::int64_t row_count() const;
  [[nodiscard]] std::int64_t tail_count() const;
  [[nodiscard]] std::optional<std::uint64_t> last_id() const;
  // On disk, oldest first.
  [[nodiscard]] std::vector<RowSegment> segments() const;
  // Bytes in this process's own memory; mapped rows are not among them.
  [[nodiscard]] std::int64_t memory_bytes() const;
  // Bytes a row takes on disk: width + 20, the width rounded up to 4.
  [[nodiscard]] std::int64_t disk_bytes_a_row() const;

  // `rows` (ids, width). Ids ascend and are above all earlier ones. All or nothing.
  // Errors: kInvalidArgument, kOutOfMemory.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  // Takes the last segments back into the tail while they have less than twice its rows and no
  // more than `most_rows` come together, so that many small additions leave few segments; leaves
  // out rows that are not `live`. Errors: kOutOfMemory, kDataLoss; then nothing has changed.
  Status gather_tail(std::int64_t most_rows, const std::function<bool(std::uint64_t)>& live);
  // Writes the tail as a segment. Errors: those of write_index_file; kFailedPrecondition (there is
  // no tail).
  Status write_tail(const std::string& path, const IndexIdentity& identity) const;
  // Maps what write_tail wrote of this one or of an earlier copy of it: the first `row_count` rows
  // of the tail, whose memory this one lets go. Errors: kIoError, kDataLoss, kOutOfMemory,
  // kFailedPrecondition (the tail has fewer rows); then the tail stays in memory.
  Status map_tail(const std::string& path, const IndexIdentity& identity, std::int64_t row_count);
  // Joins a segment on. Errors: kDataLoss (damaged, of another width or metric, ids not above those
  // there), those of read_index_file.
  Result<IndexIdentity> open_segment(const std::string& path);

  // The best `count` of `ids` (in any order), best first, equal scores by lower id. Scores are off
  // by less than kScoreError of the product of the lengths. Errors: kNotFound (an id that is not
  // here), kDataLoss (a row's checksum), kInvalidArgument, kOutOfMemory.
  Result<std::vector<Candidate>> rank(std::span<const float> query,
                                      std::span<const std::uint64_t> ids, std::int64_t count) const;
  // Those of `ids` that may be among the best `wanted` when the rows themselves are scored, best
  // first by cached score: down to twice the error below the wanted-th. REQUIRES: Metric::kCosine.
  // Errors: those of rank.
  Result<std::vector<Candidate>> finalists(std::span<const float> query,
                                           std::span<const std::uint64_t> ids,
                                           std::int64_t wanted) const;

 private:
  struct Segment;
  // Live rows of `from` go behind those of `to`. Errors: kDataLoss. May throw bad_alloc.
  Status copy_rows(const Segment& from, const std::function<bool(std::uint64_t)>& live,
                   Segment& to) const;
  int width_;
  Metric metric_;
  std::vector<std::shared_ptr<const Segment>> segments_;  // mapped, oldest first
  std::unique_ptr<Segment> tail_;                         // in memory; may be empty
};

}  // namespace nestor::index
