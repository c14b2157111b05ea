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
  AlignedWords blocks;
  AlignedWords rest;
  std::unique_ptr<std::uint64_t[]> ids;
};

LadderCodes::LadderCodes(LadderLayout layout) : layout_(layout) {
  NESTOR_CHECK(layout.scan_words > 0 && layout.rest_words >= 0, "a ladder without codes");
}
LadderCodes::~LadderCodes() = default;
LadderCodes::LadderCodes(LadderCodes&&) noexcept = default;
LadderCodes& LadderCodes::operator=(LadderCodes&&) noexcept = default;

std::int64_t LadderCodes::memory_bytes() const {
  std::int64_t rows = 0;
  for (const LadderSegment& segment : segments_) rows += segment.capacity;
  return rows * layout_.row_bytes() + static_cast<std::int64_t>(live_.capacity() * 8);
}

std::size_t LadderCodes::segment_of(std::int64_t position) const {
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), position,
                       [](std::int64_t at, const LadderSegment& s) { return at < s.first; });
  return static_cast<std::size_t>(after - segments_.begin()) - 1;
}

std::uint64_t LadderCodes::id_at(std::int64_t position) const {
  const LadderSegment& segment = segments_[segment_of(position)];
  return segment.ids[position - segment.first];
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
  const std::int64_t position = segment.first + (found - segment.ids);
  return (live_[static_cast<std::size_t>(position / kLiveBits)] >> (position % kLiveBits) & 1) != 0
             ? position
             : -1;
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
  const std::int64_t end =
      segments_.empty() ? 0 : segments_.back().first + segments_.back().capacity;
  const std::int64_t spare = end - row_count_;
  try {
    const std::size_t words = static_cast<std::size_t>(whole_words(row_count_ + row_count));
    if (words > live_.capacity()) live_.reserve(std::max(words, live_.capacity() * 5 / 4));
    if (row_count <= spare) return {};
    const std::int64_t usual = std::clamp(row_count_ / 4, kLeastSegmentRows, kMostSegmentRows);
    const std::int64_t capacity = whole_words(std::max(usual, row_count - spare)) * kLiveBits;
    auto owned = std::make_unique<Owned>(layout_, capacity);
    const LadderSegment segment{.blocks = owned->blocks.get(),
                                .rest = owned->rest.get(),
                                .ids = owned->ids.get(),
                                .rows = 0,
                                .capacity = capacity,
                                .first = end};
    owned_.reserve(owned_.size() + 1);
    segments_.push_back(segment);
    owned_.push_back(std::move(owned));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return {StatusCode::kOutOfMemory,
            fmt::format("ladder codes: no memory for {} rows more; free memory", row_count)};
  }
  return {};
}

void LadderCodes::append(std::uint64_t id, const std::uint32_t* words) {
  while (filling_ < segments_.size() && segments_[filling_].rows == segments_[filling_].capacity) {
    ++filling_;
  }
  NESTOR_CHECK(filling_ < segments_.size(), "rows that were not reserved");
  LadderSegment& segment = segments_[filling_];
  Owned& owned = *owned_[filling_ - (segments_.size() - owned_.size())];
  const std::int64_t at = segment.rows++;
  std::uint32_t* block =
      owned.blocks.get() + at / kBlockRows * layout_.scan_words * kBlockRows + at % kBlockRows;
  for (int word = 0; word < layout_.scan_words; ++word) block[word * kBlockRows] = words[word];
  std::copy_n(words + layout_.scan_words, layout_.rest_words,
              owned.rest.get() + at * layout_.rest_words);
  owned.ids[static_cast<std::size_t>(at)] = id;
  if (row_count_ % kLiveBits == 0) live_.push_back(0);
  live_.back() |= std::uint64_t{1} << (row_count_ % kLiveBits);
  ++row_count_;
  last_id_ = id;
}

bool LadderCodes::remove(std::uint64_t id) {
  const std::int64_t position = find(id);
  if (position < 0) return false;
  live_[static_cast<std::size_t>(position / kLiveBits)] &=
      ~(std::uint64_t{1} << (position % kLiveBits));
  ++dead_count_;
  return true;
}

Status LadderCodes::sweep() {
  LadderCodes swept(layout_);
  NESTOR_RETURN_IF_ERROR(swept.reserve(live_count()));
  try {
    std::vector<std::uint32_t> words(
        static_cast<std::size_t>(layout_.scan_words + layout_.rest_words));
    for (std::int64_t position = 0; position < row_count_; ++position) {
      if ((live_[static_cast<std::size_t>(position / kLiveBits)] >> (position % kLiveBits) & 1) ==
          0) {
        continue;
      }
      row(position, words.data());
      swept.append(id_at(position), words.data());
    }
  } catch (const std::bad_alloc&) {
    return {StatusCode::kOutOfMemory, "ladder codes: no memory to sweep; free memory"};
  }
  swept.last_id_ = last_id_;
  *this = std::move(swept);
  return {};
}

Status LadderCodes::adopt(const LadderSegment& segment, std::unique_ptr<MappedFile> file) {
  NESTOR_CHECK(row_count_ == 0 && segments_.empty() && segment.rows % kLiveBits == 0,
               "only an empty ladder adopts, and only whole words of marks");
  if (segment.rows == 0) return {};
  try {
    live_.assign(static_cast<std::size_t>(whole_words(segment.rows)), ~std::uint64_t{0});
    segments_.push_back(segment);
  } catch (const std::exception&) {
    return {StatusCode::kOutOfMemory, "ladder codes: no memory for the marks of a file's rows"};
  }
  segments_.back().first = 0;
  segments_.back().capacity = segment.rows;
  file_ = std::move(file);
  row_count_ = segment.rows;
  last_id_ = segment.ids[segment.rows - 1];
  return {};
}

}  // namespace nestor::index
