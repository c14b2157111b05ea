// WidthLadder: the coarse indexes of one collection, one a width in use, all over the same rows.
// The default coarse width is there from the start; another one is built from the rows when it is
// first asked for and kept level from then on.
//
// Threads: const calls at once; the others need the owner's exclusive lock.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "index/coarse_index.h"
#include "index/vector_source.h"
#include "nestor/status.h"

namespace nestor::index {

// The widths that vectors of `full_width` can be searched at, widest first: for a Matryoshka model
// {768, 512, 256, 128}; for bring-your-own vectors the full width alone.
std::vector<int> ladder_widths(int full_width, bool matryoshka);
// The coarse width kept by default: the narrowest of ladder_widths.
int default_coarse_width(int full_width, bool matryoshka);
// Candidates needed for a recall@10 of 0.99 against exact search after a coarse pass at
// `coarse_width` over `row_count` rows; measured, see the source. At least k.
std::int64_t default_candidate_count(int coarse_width, int full_width, std::int64_t row_count,
                                     std::int64_t k);

class WidthLadder {
 public:
  // An empty ladder, with its default rung or none. REQUIRES: full_width > 0.
  WidthLadder(int full_width, bool matryoshka, bool default_rung = true,
              Metric metric = Metric::kCosine);

  [[nodiscard]] int full_width() const { return full_width_; }
  [[nodiscard]] const std::vector<int>& widths() const { return widths_; }
  [[nodiscard]] int default_width() const { return widths_.back(); }

  [[nodiscard]] bool has(int width) const { return rungs_.contains(width); }
  // REQUIRES: has(width).
  [[nodiscard]] const CoarseIndex& at(int width) const;
  // Puts a rung in place, such as one read from a cache.
  void put(CoarseIndex rung);
  // Builds the rung `width` from all live rows of `source`, in blocks; room is made for
  // `row_count` of them at once. Errors: those of the source, kOutOfMemory, kInvalidArgument (not
  // one of widths(), all of them named).
  Status build(int width, const VectorSource& source, std::int64_t row_count = 0);

  // To every rung. `rows` (ids, full_width). Errors: as CoarseIndex::add.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  void remove(std::span<const std::uint64_t> ids);
  [[nodiscard]] std::int64_t memory_bytes() const;
  // The most held while so many rows are added.
  [[nodiscard]] std::int64_t bytes_with(std::int64_t more) const;

 private:
  int full_width_;
  Metric metric_;
  std::vector<int> widths_;  // widest first
  std::map<int, CoarseIndex> rungs_;
};

}  // namespace nestor::index
