// A collection's journal: one entry for each of its newest batches. It lets an index cache catch up
// instead of being rebuilt, and, because each entry names the one before, it shows at open that no
// batch fell out of the middle. Threads: free functions; as their RecordSource.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <optional>

#include "nestor/status.h"
#include "storage/document_store.h"
#include "storage/record_codec.h"
#include "storage/record_source.h"

namespace nestor::storage {

// What is kept: 1,000 batches, and fewer where they removed more row ids than this in all (a cache
// that missed so much is rebuilt faster than caught up). The newest entry always stays.
inline constexpr std::uint64_t kMostJournalEntries = 1'000;
inline constexpr std::uint64_t kMostJournalRemovals = 200'000;

// Puts the entry into the batch, prunes there what is over the limits, and brings `record.journal`
// level.
Status append_journal(const RecordSource& source, const JournalEntry& entry,
                      CollectionRecord& record, rocksdb::WriteBatch& batch);

// As DocumentStore::changes_since.
Result<std::optional<Changes>> read_changes(const RecordSource& source,
                                            const Collection& collection, std::uint64_t sequence,
                                            const Hash128& digest);

// kDataLoss where an entry is missing, or the last one is not the collection's state.
Status check_journal(const RecordSource& source, const CollectionRecord& record);

}  // namespace nestor::storage
