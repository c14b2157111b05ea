#include "index/ladder_codes.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <new>

#include "core/check.h"
#include "core/macros.h"
#include "index/scan_kernels.h"

namespace nestor::index {
namespace {

constexpr std::int64_t kLiveBits = 64;
// New segments hold a quarter of what is there, so that spare room is at most that, within bounds.
constexpr std::int64_t kLeastSegmentRows = 1024;
constexpr std::int64_t kMostSegmentRows = 65536;
// Positions are kept in 32 bits.
constexpr std::int64_t kMostRows = std::numeric_limits<std::uint32_t>::max() - kMostSegmentRows;

std::int64_t whole_words(std::int64_t rows) { return (rows + kLiveBits - 1) / kLiveBits; }

// Lines of the cache begin with a row, so that a row of 64 bytes is one line.
struct AlignedDelete {
  void operator()(std::uint32_t* words) const { ::operator delete[](words, std::align_val_t{64}); }
};
using AlignedWords = std::unique_ptr<std::uint32_t[], AlignedDelete>;

AlignedWords aligned_words(std::int64_t count) {
  const std::size_t words = static_cast<std::size_t>(std::max<std::int64_t>(count, 1));
  AlignedWords made(static_cast<std::uint32_t*>(
      ::operator new[](words * sizeof(std::uint32_t), std::align_val_t{64})));
  std::fill_n(made.get(), words, 0U);
  return made;
}

}  // namespace

struct LadderCodes::Owned {
  Owned(LadderLayout layout, std::int64_t rows)
      : blocks(aligned_words(rows * layout.scan_words)),
        rest(aligned_words(rows * layout.rest_words)),
        ids(new std::uint64_t[static_cast<std::size_t>(rows)]) {}
  void put(LadderLayout layout, std::int64_t place, const std::uint32_t* words) {
    std::uint32_t* block =
        blocks.get() + place / kBlockRows * layout.scan_words * kBlockRows + place % kBlockRows;
    for (int word = 0; word < layout.scan_words; ++word) block[word * kBlockRows] = words[word];
    std::copy_n(words + layout.scan_words, layout.rest_words,
                rest.get() + place * layout.rest_words);
  }
  // `rows` of them, whole blocks. REQUIRES: `place` is a multiple of kBlockRows.
  void copy(LadderLayout layout, std::int64_t place, const LadderSegment& from, std::int64_t rows) {
    const std::int64_t blocked = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
    std::copy_n(from.blocks, blocked * layout.scan_words, blocks.get() + place * layout.scan_words);
    std::copy_n(from.rest, rows * layout.rest_words, rest.get() + place * layout.rest_words);
    std::copy_n(from.ids, rows, ids.get() + place);
  }
  [[nodiscard]] LadderSegment segment(std::int64_t capacity, std::int64_t first) const {
    return {.blocks = blocks.get(),
            .rest = rest.get(),
            .ids = ids.get(),
            .rows = 0,
            .capacity = capacity,
            .first = first};
  }
  AlignedWords blocks;
  AlignedWords rest;
  std::unique_ptr<std::uint64_t[]> ids;
  std::vector<std::uint32_t> places;  // of rows in lists
  std::vector<std::uint32_t> ranks;
  std::atomic<std::int64_t> claimed{0};  // rows up to here belong to some version
};

LadderCodes::LadderCodes(LadderLayout layout) : layout_(layout) {
  NESTOR_CHECK(layout.scan_words > 0 && layout.rest_words >= 0, "a ladder without codes");
}
LadderCodes::~LadderCodes() = default;
LadderCodes::LadderCodes(LadderCodes&& other) noexcept : layout_(other.layout_) {
  *this = std::move(other);
}
LadderCodes& LadderCodes::operator=(LadderCodes&& other) noexcept {
  layout_ = other.layout_;
  segments_ = std::move(other.segments_);
  owned_ = std::move(other.owned_);
  has_tail_ = other.has_tail_;
  growing_ = other.growing_;
  claimed_end_ = other.claimed_end_;
  next_ = std::move(other.next_);
  next_capacity_ = other.next_capacity_;
  blank_tail_ = std::move(other.blank_tail_);
  tail_shared_ = other.tail_shared_.load();
  file_ = std::move(other.file_);
  live_ = std::move(other.live_);
  list_begins_ = std::move(other.list_begins_);
  row_count_ = other.row_count_;
  dead_count_ = other.dead_count_;
  removed_count_ = other.removed_count_;
  last_id_ = other.last_id_;
  return *this;
}

std::int64_t LadderCodes::memory_bytes() const {
  std::int64_t rows = 0;
  for (const LadderSegment& segment : segments_) rows += segment.capacity;
  rows += next_ == nullptr ? 0 : next_capacity_;
  return rows * layout_.row_bytes() + 8 * listed_rows() +
         static_cast<std::int64_t>(live_.capacity() * 8 + list_begins_.capacity() * 4);
}

std::int64_t LadderCodes::mapped_bytes() const {
  std::int64_t rows = 0;
  for (std::size_t i = 0; i + owned_.size() < segments_.size(); ++i) rows += segments_[i].capacity;
  const bool lists = file_ != nullptr && !list_begins_.empty();
  return rows * layout_.row_bytes() + (lists ? 8 * listed_rows() : 0);
}

std::int64_t LadderCodes::spare_rows() const {
  const std::size_t at = segments_.size() - (has_tail_ ? 1 : 0);
  const std::int64_t here =
      growing_ ? segments_[at - 1].capacity - segments_[at - 1].rows : std::int64_t{0};
  return here + (next_ == nullptr ? 0 : next_capacity_);
}

std::int64_t LadderCodes::bytes_with(std::int64_t more) const {
  std::int64_t bytes = memory_bytes() - mapped_bytes() + kLiveBits * layout_.row_bytes();
  const std::int64_t groups = (tail_rows() + more) / kLiveBits * kLiveBits;
  const std::int64_t spare = spare_rows();
  if (groups > spare) {
    const std::int64_t usual = std::clamp(row_count_ / 4, kLeastSegmentRows, kMostSegmentRows);
    bytes += whole_words(std::max(usual, groups - spare)) * kLiveBits * layout_.row_bytes();
  }
  // The marks grow by a quarter and are copied.
  return bytes + whole_words(row_count_ + more) * 8 * 5 / 4;
}

std::int64_t LadderCodes::bytes_of(LadderLayout layout, std::int64_t row_count) {
  const std::int64_t spare = std::clamp(row_count / 4, kLeastSegmentRows, kMostSegmentRows);
  return (row_count + spare + kLiveBits) * layout.row_bytes() + whole_words(row_count) * 8 * 9 / 4;
}

std::size_t LadderCodes::segment_of(std::int64_t position) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), position,
                       [](std::int64_t at, const LadderSegment& s) { return at < s.first; });
  return static_cast<std::size_t>(after - segments_.begin()) - 1;
}

std::uint64_t LadderCodes::id_at(std::int64_t position) const {
  const LadderSegment& segment = segments_[segment_of(position)];
  const std::int64_t at = position - segment.first;
  return segment.ids[segment.ranks == nullptr ? at : segment.ranks[at]];
}

std::int64_t LadderCodes::find(std::uint64_t id) const {
  const auto after = std::upper_bound(
      segments_.begin(), segments_.end(), id,
      [](std::uint64_t wanted, const LadderSegment& s) { return s.rows == 0 || wanted < *s.ids; });
  if (after == segments_.begin()) return -1;
  const LadderSegment& segment = *(after - 1);
  const std::uint64_t* end = segment.ids + segment.rows;
  const std::uint64_t* found = std::lower_bound(segment.ids, end, id);
  if (found == end || *found != id) return -1;
  const std::int64_t rank = found - segment.ids;
  const std::int64_t position =
      segment.first + (segment.places == nullptr ? rank : segment.places[rank]);
  return is_live(position) ? position : -1;
}

void LadderCodes::each_live(const std::function<void(std::int64_t position)>& visit) const {
  for (const LadderSegment& segment : segments_) {
    for (std::int64_t rank = 0; rank < segment.rows; ++rank) {
      const std::int64_t position =
          segment.first + (segment.places == nullptr ? rank : segment.places[rank]);
      if (is_live(position)) visit(position);
    }
  }
}

void LadderCodes::row(std::int64_t position, std::uint32_t* words) const {
  const LadderSegment& segment = segments_[segment_of(position)];
  const std::int64_t at = position - segment.first;
  const std::uint32_t* block =
      segment.blocks + at / kBlockRows * layout_.scan_words * kBlockRows + at % kBlockRows;
  for (int word = 0; word < layout_.scan_words; ++word) words[word] = block[word * kBlockRows];
  std::copy_n(segment.rest + at * layout_.rest_words, layout_.rest_words,
              words + layout_.scan_words);
}

Status LadderCodes::reserve(std::int64_t row_count) {
  NESTOR_CHECK(row_count >= 0, "a negative number of rows");
  if (row_count > kMostRows - row_count_) {
    return {StatusCode::kInvalidArgument,
            fmt::format("ladder codes: {} rows more than the {} there are; the most are {}",
                        row_count, row_count_, kMostRows)};
  }
  if (row_count == 0) return {};
  try {
    const std::size_t words = static_cast<std::size_t>(whole_words(row_count_ + row_count));
    if (words > live_.capacity()) live_.reserve(std::max(words, live_.capacity() * 5 / 4));
    own_tail();
    reserve_groups((tail_rows() + row_count) / kLiveBits * kLiveBits);
    // A tail and a segment of groups at most come on.
    segments_.reserve(segments_.size() + 2);
    owned_.reserve(owned_.size() + 2);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return {StatusCode::kOutOfMemory,
            fmt::format("ladder codes: no memory for {} rows more; free memory", row_count)};
  }
  return {};
}

void LadderCodes::own_tail() {
  if (has_tail_ && tail_shared_) {
    auto own = std::make_shared<Owned>(layout_, kLiveBits);
    LadderSegment& tail = segments_.back();
    own->copy(layout_, 0, tail, tail.rows);
    const LadderSegment same = own->segment(kLiveBits, tail.first);
    const std::int64_t rows = tail.rows;
    tail = same;
    tail.rows = rows;
    owned_.back() = std::move(own);
    tail_shared_ = false;
  }
  if (!has_tail_ && blank_tail_ == nullptr) {
    blank_tail_ = std::make_shared<Owned>(layout_, kLiveBits);
  }
}

void LadderCodes::reserve_groups(std::int64_t rows) {
  std::int64_t here = 0;
  if (growing_) {
    const std::size_t at = segments_.size() - (has_tail_ ? 2 : 1);
    LadderSegment& segment = segments_[at];
    Owned& owned = *owned_[owned_.size() - (has_tail_ ? 2 : 1)];
    here = std::min(rows, segment.capacity - segment.rows);
    const std::int64_t end = segment.rows + here;
    std::int64_t expected = claimed_end_;
    if (end > claimed_end_ && !owned.claimed.compare_exchange_strong(expected, end)) {
      // Another version has gone on here: this segment ends where it does now.
      here = claimed_end_ - segment.rows;
      segment.capacity = claimed_end_;
      growing_ = here > 0;
    } else {
      claimed_end_ = std::max(claimed_end_, end);
    }
  }
  const std::int64_t left = rows - here;
  if (left <= 0) return;
  if (next_ == nullptr || left > next_capacity_) {
    const std::int64_t usual = std::clamp(row_count_ / 4, kLeastSegmentRows, kMostSegmentRows);
    const std::int64_t capacity = whole_words(std::max(usual, left)) * kLiveBits;
    next_ = std::make_shared<Owned>(layout_, capacity);
    next_capacity_ = capacity;
  }
  next_->claimed = std::max(next_->claimed.load(), left);
}

void LadderCodes::flush_tail() {
  const LadderSegment full = segments_.back();
  std::shared_ptr<Owned> tail = std::move(owned_.back());
  segments_.pop_back();
  owned_.pop_back();
  has_tail_ = false;
  if (!growing_ || segments_.back().rows == segments_.back().capacity) {
    NESTOR_CHECK(next_ != nullptr, "rows that were not reserved");
    segments_.push_back(next_->segment(next_capacity_, full.first));
    claimed_end_ = next_->claimed;
    owned_.push_back(std::move(next_));
    growing_ = true;
  }
  LadderSegment& segment = segments_.back();
  NESTOR_CHECK(segment.rows + full.rows <= claimed_end_, "rows that were not reserved");
  owned_.back()->copy(layout_, segment.rows, full, full.rows);
  segment.rows += full.rows;
  blank_tail_ = std::move(tail);
}

void LadderCodes::append(std::uint64_t id, const std::uint32_t* words) {
  if (!has_tail_) {
    NESTOR_CHECK(blank_tail_ != nullptr, "rows that were not reserved");
    segments_.push_back(blank_tail_->segment(kLiveBits, row_count_));
    owned_.push_back(std::move(blank_tail_));
    has_tail_ = true;
    tail_shared_ = false;
  }
  LadderSegment& tail = segments_.back();
  Owned& owned = *owned_.back();
  const std::int64_t at = tail.rows++;
  owned.put(layout_, at, words);
  owned.ids[static_cast<std::size_t>(at)] = id;
  if (row_count_ % kLiveBits == 0) live_.push_back(0);
  live_.back() |= std::uint64_t{1} << (row_count_ % kLiveBits);
  ++row_count_;
  last_id_ = id;
  if (tail.rows == kLiveBits) flush_tail();
}

bool LadderCodes::remove(std::uint64_t id) {
  const std::int64_t position = find(id);
  if (position < 0) return false;
  live_[static_cast<std::size_t>(position / kLiveBits)] &=
      ~(std::uint64_t{1} << (position % kLiveBits));
  ++dead_count_;
  ++removed_count_;
  return true;
}

Status LadderCodes::sweep() {
  try {
    // The list of each live row that is in one, in the order of the ids.
    std::vector<std::uint32_t> lists;
    const std::int64_t listed = listed_rows();
    if (listed > 0) {
      std::vector<std::uint32_t> list_of_place(static_cast<std::size_t>(listed));
      for (std::size_t list = 0; list + 1 < list_begins_.size(); ++list) {
        std::fill(list_of_place.begin() + list_begins_[list],
                  list_of_place.begin() + list_begins_[list + 1], static_cast<std::uint32_t>(list));
      }
      for (std::int64_t rank = 0; rank < listed; ++rank) {
        const std::uint32_t place = segments_.front().places[rank];
        if (is_live(place)) lists.push_back(list_of_place[place]);
      }
    }
    const std::int64_t list_count = static_cast<std::int64_t>(list_begins_.size()) - 1;
    NESTOR_ASSIGN_OR_RETURN(LadderCodes swept,
                            sorted(*this, lists, std::max<std::int64_t>(list_count, 0)));
    *this = std::move(swept);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return {StatusCode::kOutOfMemory, "ladder codes: no memory to sweep; free memory"};
  }
  return {};
}

Result<LadderCodes> LadderCodes::sorted(const LadderCodes& from,
                                        std::span<const std::uint32_t> lists,
                                        std::int64_t list_count) {
  try {
    LadderCodes made(from.layout_);
    if (list_count > 0) NESTOR_RETURN_IF_ERROR(made.put_sorted(from, lists, list_count));
    const auto listed = static_cast<std::int64_t>(lists.size());
    NESTOR_RETURN_IF_ERROR(made.reserve(from.live_count() - listed));
    std::vector<std::uint32_t> words(
        static_cast<std::size_t>(from.layout_.scan_words + from.layout_.rest_words));
    std::int64_t seen = 0;
    from.each_live([&](std::int64_t position) {
      if (seen++ < listed) return;
      from.row(position, words.data());
      made.append(from.id_at(position), words.data());
    });
    made.last_id_ = from.last_id_;
    return made;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, "ladder codes: no memory for rows in lists");
  }
}

// Into an empty one: a counting sort, so that rows of a list keep the order of their ids.
Status LadderCodes::put_sorted(const LadderCodes& from, std::span<const std::uint32_t> lists,
                               std::int64_t list_count) {
  std::vector<std::uint32_t> begins(static_cast<std::size_t>(list_count) + 1);
  for (const std::uint32_t list : lists) ++begins[list + 1];
  for (std::size_t list = 1; list < begins.size(); ++list) begins[list] += begins[list - 1];
  const std::size_t rows = lists.size();
  const std::int64_t capacity = whole_words(static_cast<std::int64_t>(rows)) * kLiveBits;
  auto owned = std::make_shared<Owned>(layout_, capacity);
  owned->places.resize(rows);
  owned->ranks.resize(rows);
  std::vector<std::uint32_t> next(begins.begin(), begins.end() - 1);
  std::vector<std::uint32_t> words(
      static_cast<std::size_t>(layout_.scan_words + layout_.rest_words));
  std::size_t rank = 0;
  from.each_live([&](std::int64_t position) {
    if (rank == rows) return;
    const std::uint32_t place = next[lists[rank]]++;
    owned->places[rank] = place;
    owned->ranks[place] = static_cast<std::uint32_t>(rank);
    owned->ids[rank] = from.id_at(position);
    from.row(position, words.data());
    owned->put(layout_, place, words.data());
    last_id_ = owned->ids[rank];
    ++rank;
  });
  const LadderSegment segment{.blocks = owned->blocks.get(),
                              .rest = owned->rest.get(),
                              .ids = owned->ids.get(),
                              .places = owned->places.data(),
                              .ranks = owned->ranks.data(),
                              .rows = static_cast<std::int64_t>(rows),
                              .capacity = capacity,
                              .first = 0};
  owned_.reserve(1);
  NESTOR_RETURN_IF_ERROR(adopt({&segment, 1}, std::move(begins), nullptr));
  if (rows > 0) owned_.push_back(std::move(owned));
  return {};
}

Status LadderCodes::adopt(std::span<const LadderSegment> segments,
                          std::vector<std::uint32_t> list_begins,
                          std::unique_ptr<MappedFile> file) {
  NESTOR_CHECK(row_count_ == 0 && segments_.empty(), "only an empty ladder adopts");
  try {
    std::int64_t places = 0;
    for (const LadderSegment& segment : segments) places += whole_words(segment.rows) * kLiveBits;
    live_.reserve(static_cast<std::size_t>(whole_words(places)));
    segments_.reserve(segments.size());
    file_ = std::move(file);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return {StatusCode::kOutOfMemory, "ladder codes: no memory for the marks of a file's rows"};
  }
  list_begins_ = std::move(list_begins);  // empty where no segment has lists
  for (LadderSegment segment : segments) {
    if (segment.rows == 0) continue;
    segment.first = row_count_;
    segment.capacity = whole_words(segment.rows) * kLiveBits;
    live_.insert(live_.end(), static_cast<std::size_t>(segment.rows / kLiveBits),
                 ~std::uint64_t{0});
    const std::int64_t left = segment.rows % kLiveBits;
    NESTOR_CHECK(left == 0 || segment.places != nullptr, "rows that fill no word of marks");
    if (left > 0) live_.push_back((std::uint64_t{1} << left) - 1);
    row_count_ += segment.capacity;
    dead_count_ += segment.capacity - segment.rows;
    last_id_ = segment.ids[segment.rows - 1];
    segments_.push_back(segment);
  }
  return {};
}

Result<LadderCodes> LadderCodes::version() const {
  try {
    LadderCodes same(layout_);
    same.segments_ = segments_;
    same.owned_ = owned_;
    same.has_tail_ = has_tail_;
    same.growing_ = growing_;
    // What this one has claimed and not written yet stays its own.
    same.claimed_end_ = growing_ ? segments_[segments_.size() - (has_tail_ ? 2 : 1)].rows : 0;
    same.tail_shared_ = true;
    tail_shared_ = true;
    same.file_ = file_;
    same.live_ = live_;
    same.list_begins_ = list_begins_;
    same.row_count_ = row_count_;
    same.dead_count_ = dead_count_;
    same.removed_count_ = removed_count_;
    same.last_id_ = last_id_;
    return same;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, "ladder codes: no memory for a second look at them");
  }
}

}  // namespace nestor::index
