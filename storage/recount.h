// Counts and digest of a collection, taken from the records that are there instead of from its own
// record. Threads: free functions, safe anywhere.
#pragma once

#include <string_view>

#include "nestor/status.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

// One record more. A damaged one counts too, with its bytes as they are, but says nothing of text,
// mode or truncation: `document` and `row` are then null.
void count_document(Collection& found, std::string_view key, std::string_view value,
                    const StoredDocument* document);
void count_row(Collection& found, std::string_view key, std::string_view value, const Row* row);

// documents, passages, text_bytes, truncated_passages, rows_by_mode and digest of all records of
// `collection`. Errors: kIoError, kDataLoss (RocksDB cannot read on).
// Cost: reads every document and row of the collection.
Result<Collection> recount(const RecordSource& source, const Collection& collection);

// Adds to `collection` what `found` has over `stated`.
void move_counts(Collection& collection, const Collection& found, const Collection& stated);

}  // namespace nestor::storage
