// The lists of LadderIndex: when it wants them, how they are built beside it and checked.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "core/macros.h"
#include "index/ladder_index.h"

namespace nestor::index {
namespace {

// Lists anew when the rows outside of them, which every search scans, are one in this many.
constexpr std::int64_t kUnlistedDivisor = 5;
// The check: so many made-up queries, the best ten of each in the scan of all rows, and the share
// of those that the lists have to hold. Codes are noisier than rows, so this is harder than what
// people ask: .95 here is .99 of the exact best ten of real questions (index/CODES.md, section
// "Lists").
constexpr std::int64_t kCheckQueries = 128;
constexpr std::int64_t kCheckDepth = 10;
constexpr double kCheckShare = 0.95;
// Where the lists a search needs hold more than one row in this many they save nothing.
constexpr std::int64_t kLeastGain = 2;

// Live rows in the order of their ids, one after the other.
class LiveRows {
 public:
  explicit LiveRows(const LadderCodes& codes) : codes_(codes) { settle(); }
  [[nodiscard]] bool done() const { return segment_ == codes_.segments().size(); }
  [[nodiscard]] std::uint64_t id() const { return codes_.segments()[segment_].ids[rank_]; }
  [[nodiscard]] std::int64_t position() const {
    const LadderSegment& segment = codes_.segments()[segment_];
    return segment.first + (segment.places == nullptr ? rank_ : segment.places[rank_]);
  }
  void next() {
    ++rank_;
    settle();
  }

 private:
  void settle() {
    for (; !done(); ++segment_, rank_ = 0) {
      for (; rank_ < codes_.segments()[segment_].rows; ++rank_) {
        const std::int64_t at = position();
        if ((codes_.live()[static_cast<std::size_t>(at / 64)] >> (at % 64) & 1) != 0) return;
      }
    }
  }
  const LadderCodes& codes_;
  std::size_t segment_ = 0;
  std::int64_t rank_ = 0;
};

Status out_of_memory(const char* action) {
  return {StatusCode::kOutOfMemory,
          fmt::format("ladder index: no memory to {}; free memory", action)};
}

}  // namespace

bool LadderIndex::wants_lists(std::int64_t least_rows) const {
  if (!trained() || live_count() < least_rows) return false;
  const std::int64_t unlisted = codes_.row_count() - codes_.listed_rows();
  return !has_lists() || unlisted * kUnlistedDivisor > codes_.row_count();
}

Result<LadderIndex> LadderIndex::version() const {
  try {
    LadderIndex same(shape_);
    same.kernels_ = kernels_;
    same.quantizer_ = quantizer_;
    NESTOR_ASSIGN_OR_RETURN(same.codes_, codes_.version());
    same.raw_ = raw_;
    same.trained_count_ = trained_count_;
    same.lists_ = lists_;
    same.probe_rows_ = probe_rows_;
    same.generation_ = generation_;
    same.most_bytes_ = most_bytes_;
    return same;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("share the rows with another version");
  }
}

Result<LadderIndex> LadderIndex::with_lists(const LadderIndex& from, const ListOptions& options,
                                            const std::function<bool()>& stopped) {
  if (!from.trained() || from.live_count() == 0) {
    return Status(
        StatusCode::kFailedPrecondition,
        fmt::format("ladder index: {} rows {} cannot be sorted into lists; add {} or more",
                    from.live_count(), from.trained() ? "" : "without codes", kTrainRows));
  }
  if (!from.codes_.intact()) {
    return Status(StatusCode::kDataLoss,
                  "ladder index: its mapped file was changed by another process; build it anew "
                  "from the store");
  }
  NESTOR_ASSIGN_OR_RETURN(SortedIntoLists sorted,
                          sort_into_lists(from.codes_, *from.quantizer_, *from.kernels_,
                                          from.shape_.scan_width, options, stopped));
  try {
    LadderIndex made(from.shape_);
    made.kernels_ = from.kernels_;
    made.quantizer_ = from.quantizer_;
    made.trained_count_ = from.trained_count_;
    NESTOR_ASSIGN_OR_RETURN(
        made.codes_, LadderCodes::sorted(from.codes_, sorted.list_of_row, sorted.lists.count()));
    made.lists_ = std::make_shared<const CodeLists>(std::move(sorted.lists));
    NESTOR_RETURN_IF_ERROR(made.check_lists(stopped));
    return made;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("hold the rows in lists");
  }
}

// A made-up query is the middle of two rows far apart in the store: like a question it lies off
// the passages, about as far from both, where a row itself would find its own list at once.
Status LadderIndex::check_lists(const std::function<bool()>& stopped) {
  const std::int64_t rows = codes_.listed_rows();
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  const std::span<const std::uint32_t> begins = codes_.list_begins();
  std::vector<std::uint32_t> words(static_cast<std::size_t>(shape_.code().words()));
  std::vector<float> query(width);
  std::vector<float> other(width);
  std::vector<std::int64_t> needed;  // rows in the lists up to that of each hit
  for (std::int64_t i = 0; i < kCheckQueries; ++i) {
    if (stopped && stopped()) {
      return {StatusCode::kCancelled, "ladder index: sorting into lists was stopped"};
    }
    codes_.row(i * rows / kCheckQueries, words.data());
    quantizer_->decode(words.data(), query.data());
    codes_.row((i * rows / kCheckQueries + rows / 3) % rows, words.data());
    quantizer_->decode(words.data(), other.data());
    for (std::size_t c = 0; c < width; ++c) query[c] += other[c];
    NESTOR_ASSIGN_OR_RETURN(
        const std::vector<Candidate> best,
        search(query, {.scan_count = 0, .rank_count = 0, .probe_rows = LadderPlan::kEveryRow}));
    std::vector<std::int64_t> hits;
    for (std::size_t hit = 0; hit < best.size() && hit < kCheckDepth; ++hit) {
      const std::int64_t place = codes_.find(best[hit].id);
      const auto after = std::upper_bound(begins.begin(), begins.end(), place);
      hits.push_back(after - begins.begin() - 1);
    }
    std::int64_t passed = 0;
    std::size_t met = 0;
    lists_->nearest(query, lists_->count() / 16, [&](std::uint32_t list) {
      passed += begins[list + 1] - begins[list];
      for (const std::int64_t hit : hits) {
        if (hit != static_cast<std::int64_t>(list)) continue;
        needed.push_back(passed);
        ++met;
      }
      return met == hits.size();
    });
  }
  std::sort(needed.begin(), needed.end());
  const auto at = static_cast<std::size_t>(kCheckShare * static_cast<double>(needed.size()));
  probe_rows_ = needed.empty() ? rows : needed[std::min(at, needed.size() - 1)];
  if (probe_rows_ * kLeastGain > rows) probe_rows_ = 0;
  return {};
}

void LadderIndex::remove_missing(const LadderIndex& current) {
  std::vector<std::uint64_t> missing;
  LiveRows theirs(current.codes_);
  for (LiveRows ours(codes_); !ours.done(); ours.next()) {
    while (!theirs.done() && theirs.id() < ours.id()) theirs.next();
    if (theirs.done() || theirs.id() != ours.id()) missing.push_back(ours.id());
  }
  remove(missing);
}

Status LadderIndex::catch_up(const LadderIndex& current) {
  if (!trained() || !current.trained() || shape_ != current.shape_ ||
      quantizer_->serialize() != current.quantizer_->serialize()) {
    return {StatusCode::kFailedPrecondition,
            "ladder index: the rows have other codes than those that were sorted into lists; sort "
            "them again"};
  }
  try {
    remove_missing(current);
    const std::optional<std::uint64_t> last = last_id();
    std::vector<std::int64_t> positions;
    for (LiveRows theirs(current.codes_); !theirs.done(); theirs.next()) {
      if (!last.has_value() || theirs.id() > *last) positions.push_back(theirs.position());
    }
    NESTOR_RETURN_IF_ERROR(codes_.reserve(static_cast<std::int64_t>(positions.size())));
    std::vector<std::uint32_t> words(static_cast<std::size_t>(shape_.code().words()));
    for (const std::int64_t position : positions) {
      current.codes_.row(position, words.data());
      codes_.append(current.codes_.id_at(position), words.data());
    }
    if (current.last_id().has_value()) codes_.pass_id(*current.last_id());
    generation_ = next_generation();
    return {};
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("catch up with the rows added meanwhile");
  }
}

}  // namespace nestor::index
