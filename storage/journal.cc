#include "storage/journal.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/macros.h"
#include "storage/key_schema.h"

namespace nestor::storage {
namespace {

using EntryVisitor = std::function<Result<bool>(JournalEntry entry)>;

Status scan_journal(const RecordSource& source, std::uint32_t collection,
                    std::uint64_t first_sequence, const EntryVisitor& visit) {
  return source.scan(
      journal_key(collection, first_sequence), prefix_end(key_prefix(KeyTag::kJournal, collection)),
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        NESTOR_ASSIGN_OR_RETURN(JournalEntry entry, decode_journal_entry(key, value));
        return visit(std::move(entry));
      });
}

bool over_limits(const JournalExtent& extent) {
  return extent.entry_count > kMostJournalEntries ||
         (extent.removed_count > kMostJournalRemovals && extent.entry_count > 1);
}

Status broken_journal(const Collection& collection, const std::string& what) {
  return {StatusCode::kDataLoss,
          fmt::format("acknowledged data is gone: the journal of collection '{}' {}; restore the "
                      "database from a backup, or index again into a new folder",
                      collection.name, what)};
}

}  // namespace

Status append_journal(const RecordSource& source, const JournalEntry& entry,
                      CollectionRecord& record, rocksdb::WriteBatch& batch) {
  JournalExtent& extent = record.journal;
  const std::uint32_t collection = record.collection.id;
  const std::string key = journal_key(collection, entry.sequence);
  batch.Put(key, encode_journal_entry(key, entry));
  if (extent.entry_count == 0) extent.first_sequence = entry.sequence;
  ++extent.entry_count;
  extent.removed_count += entry.removed_row_ids.size();
  if (!over_limits(extent)) return {};
  const std::uint64_t first = extent.first_sequence;
  extent.first_sequence = entry.sequence;  // unless the scan finds an older one that may stay
  return scan_journal(source, collection, first, [&](const JournalEntry& old) -> Result<bool> {
    if (!over_limits(extent)) {
      extent.first_sequence = old.sequence;
      return false;
    }
    batch.Delete(journal_key(collection, old.sequence));
    --extent.entry_count;
    extent.removed_count -= old.removed_row_ids.size();
    return true;
  });
}

Result<std::optional<Changes>> read_changes(const RecordSource& source,
                                            const Collection& collection, std::uint64_t sequence,
                                            const Hash128& digest) {
  bool reaches_back = false;
  Changes changes{.first_new_row_id = collection.next_row_id, .removed_row_ids = {}};
  NESTOR_RETURN_IF_ERROR(
      scan_journal(source, collection.id, sequence, [&](const JournalEntry& entry) -> Result<bool> {
        if (!reaches_back) {
          reaches_back = entry.sequence == sequence && entry.digest == digest;
          return reaches_back;
        }
        changes.first_new_row_id = std::min(changes.first_new_row_id, entry.first_new_row_id);
        changes.removed_row_ids.insert(changes.removed_row_ids.end(), entry.removed_row_ids.begin(),
                                       entry.removed_row_ids.end());
        return true;
      }));
  if (!reaches_back) return std::optional<Changes>();
  return std::optional<Changes>(std::move(changes));
}

Status check_journal(const RecordSource& source, const CollectionRecord& record) {
  const Collection& collection = record.collection;
  JournalExtent found;
  JournalEntry last;
  NESTOR_RETURN_IF_ERROR(
      scan_journal(source, collection.id, 0, [&](JournalEntry entry) -> Result<bool> {
        if (found.entry_count == 0) {
          found.first_sequence = entry.sequence;
        } else if (entry.previous_sequence != last.sequence) {
          return broken_journal(
              collection, fmt::format("goes from batch {} to {}, which follows on {}",
                                      last.sequence, entry.sequence, entry.previous_sequence));
        }
        ++found.entry_count;
        found.removed_count += entry.removed_row_ids.size();
        last = std::move(entry);
        return true;
      }));
  if (found != record.journal) {
    return broken_journal(
        collection, fmt::format("has {} entries from batch {} on, expected {} from {} on",
                                found.entry_count, found.first_sequence, record.journal.entry_count,
                                record.journal.first_sequence));
  }
  if (last.sequence != collection.sequence || last.digest != collection.digest) {
    return broken_journal(collection, fmt::format("ends at batch {}, the collection is at {}",
                                                  last.sequence, collection.sequence));
  }
  return {};
}

}  // namespace nestor::storage
