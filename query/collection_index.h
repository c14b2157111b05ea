// CollectionIndex: what finds candidates in one collection. Vectors of a Matryoshka model have
// codes (index/ladder_index.h); full-precision prefixes of a width are added when somebody asks for
// that coarse width by name. Brought vectors have their full width in full precision, and nothing
// else. All parts hold the same rows; the row cache beside the codes, which cuts candidates down
// before their exact scores are read from the store, may also hold removed ones.
//
// A version (`version()`) shares the rows; what is done to either one later does not show in the
// other. What searches use never changes: a writer changes a version of it and publishes that.
//
// Threads: const calls at once; the others alone on their object, beside any use of other versions.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "index/calibration.h"
#include "index/ladder_index.h"
#include "index/width_ladder.h"
#include "query/planner.h"
#include "query/row_files.h"

namespace nestor::query {

// How many rows are to come, so that room is made for them at once; and how many codes are trained
// on.
struct IndexSize {
  std::int64_t row_count = 0;  // 0: not known
  std::int64_t train_rows = index::LadderIndex::kMostTrainRows;
};

// What a scan for many questions at once found for one of them: what `search_codes` would begin
// with, had it this plan.
struct FirstRound {
  std::int64_t scan_count = 0;
  std::int64_t candidate_count = 0;
  bool exact = false;
  double seconds = 0;  // this one's share
  std::vector<index::Candidate> candidates;
};

class CollectionIndex {
 public:
  // `metric` other than cosine: brought vectors only.
  CollectionIndex(int full_width, bool matryoshka, Metric metric = Metric::kCosine);
  // Of all live rows of `source`. Errors: those of the source, kOutOfMemory.
  static Result<CollectionIndex> build(int full_width, bool matryoshka,
                                       const index::VectorSource& source,
                                       Metric metric = Metric::kCosine, const IndexSize& size = {});
  // The most that `build` holds, and the numbers beside the cached rows that follow.
  static std::int64_t build_bytes(int full_width, bool matryoshka, const IndexSize& size);

  // Errors: kOutOfMemory. Cost: copies one bit per row and part.
  [[nodiscard]] Result<CollectionIndex> version() const;

  [[nodiscard]] bool has_codes() const { return codes_.has_value(); }
  // REQUIRES: has_codes().
  [[nodiscard]] const index::LadderIndex& codes() const { return *codes_; }
  void put_codes(index::LadderIndex codes);
  // The codes were trained on a collection much smaller than this one is now.
  [[nodiscard]] bool wants_training() const { return has_codes() && codes_->wants_training(); }

  // What searches have to spend, as measured on this collection, or the built-in plans.
  [[nodiscard]] const index::Calibration& calibration() const { return calibration_; }
  // LadderIndex::begin_generation, where there are codes.
  void begin_generation() {
    if (codes_.has_value()) codes_->begin_generation();
  }
  void put_calibration(index::Calibration measured) { calibration_ = std::move(measured); }
  [[nodiscard]] bool wants_calibration() const {
    return has_codes() && codes_->trained() && calibration_.outgrown(live_count());
  }

  // The row cache, or null where there is none, or none that can be trusted.
  [[nodiscard]] const CachedRows* rows() const {
    return rows_ != nullptr && !*rows_damaged_ ? rows_.get() : nullptr;
  }
  [[nodiscard]] CachedRows* rows() {
    return rows_ != nullptr && !*rows_damaged_ ? rows_.get() : nullptr;
  }
  void put_rows(CachedRows rows);
  // A search met damage: rows() is null from then on, in all versions with the same row cache. May
  // be called beside other const calls; true the first time.
  [[nodiscard]] bool distrust_rows() const { return !rows_damaged_->exchange(true); }
  // The best `plan.candidate_count` of the codes, cut as cut_candidates does. Where their scores
  // say that rows further down may belong to the best `wanted`, and the plan is not the caller's
  // own, it becomes deeper and is carried out again. Measured: index/CODES.md, "Hard questions".
  // `first` (may be null): of the same query, filter and rows; taken where it is of the same plan.
  // REQUIRES: has_codes(). Errors: those of LadderIndex::search.
  Result<std::vector<index::Candidate>> search_codes(std::span<const float> query,
                                                     std::int64_t wanted,
                                                     const index::LadderFilter* filter,
                                                     std::int64_t passages, Plan& plan, Status& cut,
                                                     const FirstRound* first = nullptr) const;
  // Leaves those of `candidates` that may be among the best `wanted` by exact cosine, best first,
  // by their cached rows; the score of one left out is below the others' by twice the cache's
  // error. Nothing changes without a cache. Errors: those of RowCache::rank; nothing has changed.
  Status cut_candidates(std::span<const float> query, std::int64_t wanted,
                        std::vector<index::Candidate>& candidates) const;
  // The codes have the rows and the row cache is not there: it is worth having.
  [[nodiscard]] bool wants_rows() const {
    return has_codes() && codes_->trained() && rows_ == nullptr;
  }

  [[nodiscard]] bool has_width(int width) const { return prefixes_.has(width); }
  // REQUIRES: has_width(width).
  [[nodiscard]] const index::CoarseIndex& at(int width) const { return prefixes_.at(width); }
  void put_prefixes(index::CoarseIndex prefixes) { prefixes_.put(std::move(prefixes)); }
  // Errors: those of WidthLadder::build.
  Status build_width(int width, const index::VectorSource& source) {
    return prefixes_.build(width, source, live_or_none());
  }
  [[nodiscard]] int default_width() const { return prefixes_.default_width(); }

  [[nodiscard]] std::int64_t live_count() const;
  [[nodiscard]] std::int64_t memory_bytes() const;
  // Of them those of the codes.
  [[nodiscard]] std::int64_t code_bytes() const { return has_codes() ? codes_->memory_bytes() : 0; }
  // Without mapped codes and cached rows: what counts in the index's share of a memory budget.
  [[nodiscard]] std::int64_t owned_bytes() const;
  // The most of them while so many rows are added.
  [[nodiscard]] std::int64_t bytes_with(std::int64_t more) const;
  [[nodiscard]] std::int64_t mapped_bytes() const {
    return has_codes() ? codes_->mapped_bytes() : 0;
  }
  [[nodiscard]] std::int64_t mapped_row_bytes() const;
  // As LadderIndex::limit_memory, also of codes that are put in later.
  void limit_memory(std::int64_t most_bytes);
  // `rows` (ids, full width). Errors: kInvalidArgument, kOutOfMemory; the parts may then differ and
  // the index has to be made anew.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  void remove(std::span<const std::uint64_t> ids);

 private:
  // Rows that a new width will have.
  [[nodiscard]] std::int64_t live_or_none() const {
    return has_codes() || has_width(default_width()) ? live_count() : 0;
  }

  index::WidthLadder prefixes_;
  std::optional<index::LadderIndex> codes_;
  index::Calibration calibration_;
  std::unique_ptr<CachedRows> rows_;
  std::shared_ptr<std::atomic<bool>> rows_damaged_;  // of this row cache, in all versions
  std::int64_t most_bytes_ = 0;                      // of the codes; 0: no limit
};

}  // namespace nestor::query
