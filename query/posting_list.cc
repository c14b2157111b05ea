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

Result<PostingListPointer> read_list(const storage::DocumentStore& store,
                                     const storage::DocumentStore::View& view,
                                     const storage::Collection& collection, const std::string& term,
                                     const PostingList* earlier, const Changes& changes) {
  auto list = std::make_shared<PostingList>();
  list->sequence = collection.sequence;
  list->digest = collection.digest;
  if (earlier != nullptr) {
    const std::unordered_set<std::uint64_t> removed(changes.removed_row_ids.begin(),
                                                    changes.removed_row_ids.end());
    for (std::size_t i = 0; i < earlier->size(); ++i) {
      if (removed.contains(earlier->rows[i])) continue;
      list->append({.row_id = earlier->rows[i],
                    .length = earlier->lengths[i],
                    .positions = earlier->positions_at(i)});
    }
  }
  NESTOR_RETURN_IF_ERROR(
      store.scan_postings(view, collection, term, changes.first_new_row_id,
                          [&](const Posting& posting) { list->append(posting); }));
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

Result<std::vector<PostingListPointer>> PostingCache::get(const storage::DocumentStore& store,
                                                          const storage::DocumentStore::View& view,
                                                          const storage::Collection& collection,
                                                          const std::string& analysis,
                                                          const std::vector<std::string>& terms,
                                                          const StopCheck& stop) {
  std::vector<PostingListPointer> lists;
  // What came since an earlier sequence; the same for most terms.
  std::map<std::uint64_t, std::optional<Changes>> since;
  for (const std::string& term : terms) {
    const Key key(collection.id, analysis, term);
    PostingListPointer list = find(key);
    const bool level = list != nullptr && list->sequence == collection.sequence &&
                       list->digest == collection.digest;
    if (!level) {
      NESTOR_RETURN_IF_ERROR(stop.check());
      // A reader of an older view has no use for a newer list, and leaves it where it is.
      const bool newer = list != nullptr && list->sequence > collection.sequence;
      if (newer) list = nullptr;
      std::optional<Changes> changes;
      if (list != nullptr) {
        auto known = since.find(list->sequence);
        if (known == since.end()) {
          NESTOR_ASSIGN_OR_RETURN(
              auto read, store.changes_since(view, collection, list->sequence, list->digest));
          known = since.emplace(list->sequence, std::move(read)).first;
        }
        changes = known->second;
      }
      NESTOR_ASSIGN_OR_RETURN(
          list, read_list(store, view, collection, term, changes ? list.get() : nullptr,
                          changes.value_or(Changes{})));
      if (!newer) put(key, list);
    }
    lists.push_back(std::move(list));
  }
  return lists;
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
  uses_.push_front(key);
  entries_.emplace(key, Entry{list, uses_.begin()});
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
  return bytes_;
}

}  // namespace nestor::query
