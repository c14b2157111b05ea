#include "core/row_set.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace nestor {
namespace {

// A list costs 8 bytes an id, the bitmap an eighth of a byte an id of the range. Half of the break
// even, because a list is slower to ask.
bool fits_sparse(std::size_t count, const RowRange& range) {
  return count <= range.word_count() / 2;
}

}  // namespace

RowSet RowSet::of_ids(RowRange range, std::vector<std::uint64_t> ids) {
  RowSet set;
  set.range_ = range;
  set.count_ = static_cast<std::int64_t>(ids.size());
  set.sparse_ = fits_sparse(ids.size(), range);
  if (set.sparse_) {
    ids.shrink_to_fit();
    set.ids_ = std::move(ids);
    return set;
  }
  set.words_.resize(range.word_count());
  for (const std::uint64_t id : ids) {
    set.words_[(id - range.begin) / 64] |= 1ULL << ((id - range.begin) % 64);
  }
  return set;
}

RowSet RowSet::of_words(RowRange range, std::vector<std::uint64_t> words) {
  RowSet set;
  set.range_ = range;
  for (const std::uint64_t word : words) set.count_ += std::popcount(word);
  set.sparse_ = fits_sparse(static_cast<std::size_t>(set.count_), range);
  set.words_ = std::move(words);
  if (!set.sparse_) return set;
  const std::vector<std::uint64_t> bitmap = std::exchange(set.words_, {});
  set.ids_.reserve(static_cast<std::size_t>(set.count_));
  for (std::size_t w = 0; w < bitmap.size(); ++w) {
    for (std::uint64_t word = bitmap[w]; word != 0; word &= word - 1) {
      set.ids_.push_back(range.begin + 64 * w + static_cast<unsigned>(std::countr_zero(word)));
    }
  }
  return set;
}

bool RowSet::contains(std::uint64_t id) const {
  if (sparse_) return std::binary_search(ids_.begin(), ids_.end(), id);
  if (id < range_.begin || id >= range_.end) return false;
  const std::uint64_t offset = id - range_.begin;
  return (words_[offset / 64] >> (offset % 64) & 1) != 0;
}

std::vector<std::uint64_t> RowSet::to_ids() const {
  if (sparse_) return ids_;
  std::vector<std::uint64_t> ids;
  ids.reserve(static_cast<std::size_t>(count_));
  for (std::size_t w = 0; w < words_.size(); ++w) {
    for (std::uint64_t word = words_[w]; word != 0; word &= word - 1) {
      ids.push_back(range_.begin + 64 * w + static_cast<unsigned>(std::countr_zero(word)));
    }
  }
  return ids;
}

std::vector<std::uint64_t> RowSet::to_words() const {
  if (!sparse_) return words_;
  std::vector<std::uint64_t> words(range_.word_count());
  for (const std::uint64_t id : ids_) {
    words[(id - range_.begin) / 64] |= 1ULL << ((id - range_.begin) % 64);
  }
  return words;
}

std::size_t RowSet::memory_bytes() const {
  return sizeof(RowSet) + (ids_.capacity() + words_.capacity()) * sizeof(std::uint64_t);
}

RowSet intersection(const RowSet& a, const RowSet& b) {
  NESTOR_CHECK(a.range() == b.range(), "sets of two ranges");
  if (!a.is_sparse() && !b.is_sparse()) {
    std::vector<std::uint64_t> words(a.words().size());
    for (std::size_t w = 0; w < words.size(); ++w) words[w] = a.words()[w] & b.words()[w];
    return RowSet::of_words(a.range(), std::move(words));
  }
  const bool first_few = a.is_sparse() && (!b.is_sparse() || a.count() <= b.count());
  const RowSet& few = first_few ? a : b;
  const RowSet& other = first_few ? b : a;
  std::vector<std::uint64_t> ids;
  std::copy_if(few.ids().begin(), few.ids().end(), std::back_inserter(ids),
               [&](std::uint64_t id) { return other.contains(id); });
  return RowSet::of_ids(a.range(), std::move(ids));
}

RowSet set_union(const RowSet& a, const RowSet& b) {
  NESTOR_CHECK(a.range() == b.range(), "sets of two ranges");
  if (a.is_sparse() && b.is_sparse()) {
    std::vector<std::uint64_t> ids;
    std::set_union(a.ids().begin(), a.ids().end(), b.ids().begin(), b.ids().end(),
                   std::back_inserter(ids));
    return RowSet::of_ids(a.range(), std::move(ids));
  }
  std::vector<std::uint64_t> words = a.to_words();
  if (b.is_sparse()) {
    const std::uint64_t begin = b.range().begin;
    for (const std::uint64_t id : b.ids()) words[(id - begin) / 64] |= 1ULL << ((id - begin) % 64);
  } else {
    for (std::size_t w = 0; w < words.size(); ++w) words[w] |= b.words()[w];
  }
  return RowSet::of_words(a.range(), std::move(words));
}

RowSet difference(const RowSet& a, const RowSet& b) {
  NESTOR_CHECK(a.range() == b.range(), "sets of two ranges");
  if (a.is_sparse()) {
    std::vector<std::uint64_t> ids;
    std::copy_if(a.ids().begin(), a.ids().end(), std::back_inserter(ids),
                 [&](std::uint64_t id) { return !b.contains(id); });
    return RowSet::of_ids(a.range(), std::move(ids));
  }
  std::vector<std::uint64_t> words = a.to_words();
  if (b.is_sparse()) {
    const std::uint64_t begin = b.range().begin;
    for (const std::uint64_t id : b.ids()) {
      words[(id - begin) / 64] &= ~(1ULL << ((id - begin) % 64));
    }
  } else {
    for (std::size_t w = 0; w < words.size(); ++w) words[w] &= ~b.words()[w];
  }
  return RowSet::of_words(a.range(), std::move(words));
}

RowSet changed(const RowSet& set, std::uint64_t end, std::span<const std::uint64_t> removed,
               std::span<const RowRun> added) {
  const RowRange range = {.begin = set.range_.begin, .end = end};
  std::vector<std::uint64_t> words = set.to_words();
  words.resize(range.word_count());
  for (const std::uint64_t id : removed) {
    if (id < range.begin || id >= end) continue;
    words[(id - range.begin) / 64] &= ~(1ULL << ((id - range.begin) % 64));
  }
  for (const RowRun& run : added) {
    for (std::uint64_t id = run.first; id < run.first + static_cast<std::uint64_t>(run.count);
         ++id) {
      words[(id - range.begin) / 64] |= 1ULL << ((id - range.begin) % 64);
    }
  }
  return RowSet::of_words(range, std::move(words));
}

void RowSetBuilder::add(std::uint64_t first, std::int64_t count) {
  const std::uint64_t begin = std::max(first, range_.begin);
  const std::uint64_t end = std::min(first + static_cast<std::uint64_t>(count), range_.end);
  if (begin >= end) return;
  if (!words_.empty()) return set_run(begin, end);
  runs_.emplace_back(begin, end);
  if (!fits_sparse(runs_.size(), range_)) make_dense();
}

void RowSetBuilder::make_dense() {
  words_.resize(range_.word_count());
  for (const auto& [begin, end] : runs_) set_run(begin, end);
  runs_.clear();
}

void RowSetBuilder::set_run(std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t id = first; id < end; ++id) {
    words_[(id - range_.begin) / 64] |= 1ULL << ((id - range_.begin) % 64);
  }
}

RowSet RowSetBuilder::finish() {
  std::uint64_t most = 0;
  for (const auto& [begin, end] : runs_) most += end - begin;
  if (words_.empty() && !fits_sparse(static_cast<std::size_t>(most), range_)) make_dense();
  if (!words_.empty()) return RowSet::of_words(range_, std::exchange(words_, {}));
  std::vector<std::uint64_t> ids;
  ids.reserve(static_cast<std::size_t>(most));
  for (const auto& [begin, end] : runs_) {
    for (std::uint64_t id = begin; id < end; ++id) ids.push_back(id);
  }
  runs_.clear();
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return RowSet::of_ids(range_, std::move(ids));
}

}  // namespace nestor
