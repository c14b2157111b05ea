// CollectionIndex: what finds candidates in one collection. Vectors of a Matryoshka model have
// codes (index/ladder_index.h); full-precision prefixes of a width are added when somebody asks for
// that coarse width by name. Brought vectors have their full width in full precision, and nothing
// else. All parts hold the same rows.
//
// Threads: const calls at once; the others need the owner's exclusive lock.
#pragma once

#include <optional>
#include <span>

#include "index/ladder_index.h"
#include "index/width_ladder.h"

namespace nestor::query {

class CollectionIndex {
 public:
  CollectionIndex(int full_width, bool matryoshka);
  // Of all live rows of `source`. Errors: those of the source, kOutOfMemory.
  static Result<CollectionIndex> build(int full_width, bool matryoshka,
                                       const index::VectorSource& source);

  [[nodiscard]] bool has_codes() const { return codes_.has_value(); }
  // REQUIRES: has_codes().
  [[nodiscard]] const index::LadderIndex& codes() const { return *codes_; }
  void put_codes(index::LadderIndex codes) { codes_ = std::move(codes); }
  // The codes were trained on a collection much smaller than this one is now.
  [[nodiscard]] bool wants_training() const { return has_codes() && codes_->wants_training(); }

  [[nodiscard]] bool has_width(int width) const { return prefixes_.has(width); }
  // REQUIRES: has_width(width).
  [[nodiscard]] const index::CoarseIndex& at(int width) const { return prefixes_.at(width); }
  void put_prefixes(index::CoarseIndex prefixes) { prefixes_.put(std::move(prefixes)); }
  // Errors: those of WidthLadder::build.
  Status build_width(int width, const index::VectorSource& source) {
    return prefixes_.build(width, source);
  }
  [[nodiscard]] int default_width() const { return prefixes_.default_width(); }

  [[nodiscard]] std::int64_t live_count() const;
  [[nodiscard]] std::int64_t memory_bytes() const;
  // `rows` (ids, full width). Errors: kInvalidArgument, kOutOfMemory; the parts may then differ and
  // the index has to be made anew.
  Status add(std::span<const std::uint64_t> ids, std::span<const float> rows);
  void remove(std::span<const std::uint64_t> ids);

 private:
  index::WidthLadder prefixes_;
  std::optional<index::LadderIndex> codes_;
};

}  // namespace nestor::query
