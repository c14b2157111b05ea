// Which rows have the vector of which content: a record per passage that a model embedded, so that
// a text that is there already, under whatever key, is not embedded again. Derived from the rows;
// written and deleted in their batches. STORED: FORMAT.md, "Content index". Threads: free
// functions, safe anywhere.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

// Vectors of the callers' own say nothing of a text, and have no record.
bool has_content_record(NumericMode mode);
// What stands in the key: the hash of what was embedded (16 bytes), and how (1).
std::string content_bytes(const Hash128& content, NumericMode mode);
std::string content_key_of(std::uint32_t collection, const Row& row);

void put_content(std::uint32_t collection, const Row& row, rocksdb::WriteBatch& batch);
void remove_content(std::uint32_t collection, const Row& row, rocksdb::WriteBatch& batch);

// How far the index of a collection is made.
struct ContentMarker {
  bool complete = false;
  std::uint64_t next_row_id = 0;  // of an incomplete one: rows below it have their records
};
void put_content_marker(std::uint32_t collection, const ContentMarker& marker,
                        rocksdb::WriteBatch& batch);
// Nothing where there is none: an older format. Errors: kDataLoss, kIoError.
Result<std::optional<ContentMarker>> read_content_marker(const RecordSource& source,
                                                         std::uint32_t collection);

// Rows with that content, lowest id first, at most `limit`. Cost: a seek.
Result<std::vector<std::uint64_t>> rows_of_content(const RecordSource& source,
                                                   std::uint32_t collection,
                                                   std::string_view content, std::size_t limit);

}  // namespace nestor::storage
