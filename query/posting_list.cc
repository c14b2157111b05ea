#include "query/posting_list.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "core/macros.h"

namespace nestor::query {
namespace {

using storage::Changes;
using storage::Posting;

void put_varint(std::string& out, std::uint32_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

void sort_unique(std::vector<std::uint32_t>& positions) {
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
}

// A row of both has the positions of both, each once.
void merge_into(PostingList& list, std::vector<Posting> others) {
  std::stable_sort(others.begin(), others.end(),
                   [](const Posting& a, const Posting& b) { return a.row_id < b.row_id; });
  PostingList merged;
  merged.sequence = list.sequence;
  merged.digest = list.digest;
  std::size_t next = 0;
  for (std::size_t i = 0; i < others.size() || next < list.size();) {
    const bool from_list =
        next < list.size() && (i == others.size() || list.rows[next] <= others[i].row_id);
    Posting posting = from_list ? list.posting_at(next++) : std::move(others[i++]);
    bool several = false;
    for (; i < others.size() && others[i].row_id == posting.row_id; ++i) {
      posting.positions.insert(posting.positions.end(), others[i].positions.begin(),
                               others[i].positions.end());
      several = true;
    }
    if (several) sort_unique(posting.positions);
    merged.append(posting);
  }
  list = std::move(merged);
}

Result<PostingListPointer> read_list(const PostingSource& source, const TermLookup& lookup,
                                     const PostingList* earlier, const Changes& changes) {
  auto list = std::make_shared<PostingList>();
  list->sequence = source.collection.sequence;
  list->digest = source.collection.digest;
  if (earlier != nullptr) {
    const std::unordered_set<std::uint64_t> removed(changes.removed_row_ids.begin(),
                                                    changes.removed_row_ids.end());
    for (std::size_t i = 0; i < earlier->size(); ++i) {
      if (!removed.contains(earlier->rows[i])) list->append(earlier->posting_at(i));
    }
  }
  const auto forms = lookup.forms ? storage::TermForms::kAll : storage::TermForms::kOne;
  std::vector<Posting> others;  // from the first form on that goes back to earlier rows
  NESTOR_RETURN_IF_ERROR(source.store.scan_postings(
      source.view, source.collection, lookup.term, forms, changes.first_new_row_id,
      [&](const Posting& posting) {
        const bool ascends = list->size() == 0 || posting.row_id > list->rows.back();
        if (others.empty() && ascends) {
          list->append(posting);
        } else {
          others.push_back(posting);
        }
      }));
  if (!others.empty()) merge_into(*list, std::move(others));
  return PostingListPointer(std::move(list));
}

}  // namespace

std::size_t PostingList::bytes() const {
  return sizeof(PostingList) + rows.capacity() * sizeof(rows[0]) +
         frequencies.capacity() * sizeof(frequencies[0]) + lengths.capacity() * sizeof(lengths[0]) +
         offsets.capacity() * sizeof(offsets[0]) + positions.capacity();
}

void PostingList::append(const Posting& posting) {
  rows.push_back(posting.row_id);
  frequencies.push_back(static_cast<std::uint32_t>(posting.positions.size()));
  lengths.push_back(posting.length);
  offsets.push_back(positions.size());
  std::uint32_t last = 0;
  for (const std::uint32_t position : posting.positions) {
    put_varint(positions, position - last);
    last = position;
  }
}

Posting PostingList::posting_at(std::size_t index) const {
  return {.row_id = rows[index], .length = lengths[index], .positions = positions_at(index)};
}

std::size_t PostingList::find(std::uint64_t row_id) const {
  const auto found = std::lower_bound(rows.begin(), rows.end(), row_id);
  return found != rows.end() && *found == row_id ? static_cast<std::size_t>(found - rows.begin())
                                                 : rows.size();
}

std::vector<std::uint32_t> PostingList::positions_at(std::size_t index) const {
  std::vector<std::uint32_t> result(frequencies[index]);
  std::size_t at = offsets[index];
  std::uint32_t position = 0;
  for (std::uint32_t& out : result) {
    std::uint32_t gap = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(positions[at++]);
      gap |= static_cast<std::uint32_t>(byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    out = position += gap;
  }
  return result;
}

std::vector<std::string> LongWords::containing(std::string_view stem, std::size_t most) const {
  std::vector<std::string> found;
  const std::string_view all = text;
  for (std::size_t at = all.find(stem); at != all.npos && found.size() < most;) {
    const std::size_t begin = all.rfind('\n', at) + 1;
    const std::size_t end = all.find('\n', at);
    const std::string_view term = all.substr(begin, end - begin);
    if (is_inside(stem, term)) found.emplace_back(term);
    at = all.find(stem, end);
  }
  return found;
}

Result<PostingListPointer> PostingCache::get(PostingSource& source, const TermLookup& lookup) {
  const storage::Collection& collection = source.collection;
  const Key key(collection.id, source.analysis, lookup.term, lookup.forms);
  PostingListPointer list = find(key);
  if (list != nullptr && list->sequence == collection.sequence &&
      list->digest == collection.digest) {
    return list;
  }
  NESTOR_RETURN_IF_ERROR(source.stop.check());
  // A reader of an older view has no use for a newer list, and leaves it where it is.
  const bool newer = list != nullptr && list->sequence > collection.sequence;
  if (newer) list = nullptr;
  std::optional<Changes> changes;
  if (list != nullptr) {
    auto known = source.changes_since.find(list->sequence);
    if (known == source.changes_since.end()) {
      NESTOR_ASSIGN_OR_RETURN(auto read, source.store.changes_since(source.view, collection,
                                                                    list->sequence, list->digest));
      known = source.changes_since.emplace(list->sequence, std::move(read)).first;
    }
    changes = known->second;
  }
  NESTOR_ASSIGN_OR_RETURN(
      list, read_list(source, lookup, changes ? list.get() : nullptr, changes.value_or(Changes{})));
  if (!newer) put(key, list);
  return list;
}

Result<LongWordsPointer> PostingCache::long_words(PostingSource& source) {
  const storage::Collection& collection = source.collection;
  {
    const std::lock_guard guard(mutex_);
    const auto known = long_words_.find(collection.id);
    if (known != long_words_.end() && known->second->sequence == collection.sequence &&
        known->second->digest == collection.digest && known->second->analysis == source.analysis) {
      return known->second;
    }
  }
  NESTOR_RETURN_IF_ERROR(source.stop.check());
  auto words = std::make_shared<LongWords>();
  words->sequence = collection.sequence;
  words->digest = collection.digest;
  words->analysis = source.analysis;
  std::string last;
  NESTOR_RETURN_IF_ERROR(
      source.store.scan_terms(source.view, collection, kLongWords, [&](std::string_view term) {
        const std::string_view stem = term.substr(0, term.find(storage::kFormMark));
        if (stem != last) words->text.append(1, '\n').append(stem);
        last = stem;
      }));
  words->text += '\n';
  const std::lock_guard guard(mutex_);
  if (words->text.size() <= most_bytes_) long_words_[collection.id] = words;
  return LongWordsPointer(std::move(words));
}

PostingListPointer PostingCache::find(const Key& key) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return nullptr;
  uses_.splice(uses_.begin(), uses_, found->second.use);
  return found->second.list;
}

void PostingCache::put(const Key& key, const PostingListPointer& list) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    bytes_ -= found->second.list->bytes();
    uses_.erase(found->second.use);
    entries_.erase(found);
  }
  if (list->bytes() > most_bytes_) return;
  std::list<Key> use{key};
  entries_.emplace(key, Entry{list, use.begin()});
  uses_.splice(uses_.begin(), use);  // nothing fails from here on
  bytes_ += list->bytes();
  while (bytes_ > most_bytes_) {
    const auto oldest = entries_.find(uses_.back());
    bytes_ -= oldest->second.list->bytes();
    entries_.erase(oldest);
    uses_.pop_back();
  }
}

std::size_t PostingCache::bytes() const {
  const std::lock_guard guard(mutex_);
  std::size_t bytes = bytes_;
  for (const auto& [collection, words] : long_words_) bytes += words->text.size();
  return bytes;
}

}  // namespace nestor::query
