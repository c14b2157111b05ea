// CoarseIndex: the prefixes of all live rows at one width, scored by FAISS's kernels: unit rows for
// cosines, which are their inner products, and rows as they are for the other metrics. Row ids are
// ours; a removed row is masked at once and swept out when a quarter is dead. A copy shares the
// rows; what is done to either one later does not show in the other.
//
// Threads: const calls at once; add, reserve and remove alone on their object, beside any use of
// copies.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/stop_check.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor::index {

struct Candidate {
  std::uint64_t id = 0;
  float score = 0;  // at the index's width: cosine, inner product or minus the squared distance
};

class CoarseIndex {
 public:
  explicit CoarseIndex(int width, Metric metric = Metric::kCosine);
  ~CoarseIndex();
  // Throws std::bad_alloc. Cost: copies one bit per row.
  CoarseIndex(const CoarseIndex& other);
  CoarseIndex(CoarseIndex&&) noexcept;
  CoarseIndex& operator=(CoarseIndex&&) noexcept;

  // `vectors` (ids, width); for cosines each is normalised. Ids must ascend and be above all
  // earlier ones (the store gives them out so). Rows whose prefix is all zero score 0 with
  // everything and stay findable. All or nothing. Errors: kOutOfMemory, kInvalidArgument (ids do
  // not ascend, a value is not finite, sizes differ).
  Status add(std::span<const std::uint64_t> ids, std::span<const float> vectors);
  // Room for that many more rows, so that the next `add` of up to as many cannot run out of memory.
  // Errors: kOutOfMemory.
  Status reserve(std::int64_t row_count);
  // Unknown ids are passed over. Cost: a search by halves each; every time a quarter is dead, a
  // copy of the rows that are left.
  void remove(std::span<const std::uint64_t> ids);
  // The best `count` live rows, best first; of equal scores the lower id first. Fewer only if fewer
  // are live. `query` (at least width); its prefix is normalised here. One thread, the caller's.
  // `admits`, where there is one, is asked of every row that would be among the best so far; `stop`
  // every 1,024 rows. REQUIRES: other metrics: squared lengths that a float holds with room to
  // spare, so that no score overflows. Errors: kInvalidArgument (query too short or not finite,
  // count below 0), kOutOfMemory, those of `stop`. Cost: one pass over all rows.
  Result<std::vector<Candidate>> search(std::span<const float> query, std::int64_t count,
                                        const std::function<bool(std::uint64_t id)>& admits = {},
                                        const StopCheck& stop = {}) const;

  [[nodiscard]] int width() const;
  [[nodiscard]] Metric metric() const;
  [[nodiscard]] std::int64_t live_count() const;
  // Bytes held for rows, ids and marks, spare capacity included.
  [[nodiscard]] std::int64_t memory_bytes() const;

  // The most held while so many rows are added.
  [[nodiscard]] std::int64_t bytes_with(std::int64_t more) const;
  // Of `row_count` rows of a width, with room for them alone.
  static std::int64_t bytes_of(int width, std::int64_t row_count);

  // The live rows as bytes for index_file, and back. `parse` checks every length and value before
  // use. Errors of parse: kDataLoss (what was found), kOutOfMemory.
  // STORED: storage/FORMAT.md, section "Index caches".
  [[nodiscard]] std::string serialize() const;
  static Result<CoarseIndex> parse(std::string_view bytes, Metric metric = Metric::kCosine);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor::index
