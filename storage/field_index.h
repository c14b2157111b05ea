// The field index: which documents have which value in which field, as keys of RocksDB that sort as
// the values do. Written in the batch that writes the document; derived from it alone, so verify
// can make it again. Bytes: FORMAT.md. Threads: free functions, safe anywhere.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestor/status.h"
#include "storage/field_range.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

// What a batch does to the entries of one collection. They are written in the order of their keys:
// RocksDB takes in ascending keys in half the time.
class FieldChanges {
 public:
  // The document's entries, taken out and put in; of one entry the last call counts.
  void remove(std::uint32_t collection, const StoredDocument& document);
  void put(std::uint32_t collection, const StoredDocument& document);
  // To be called once, last.
  void write_to(rocksdb::WriteBatch& batch);
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Change {
    std::string key;
    std::optional<std::string> value;  // none: deleted
  };
  void add(Change change);

  std::vector<Change> changes_;
  std::size_t bytes_ = 0;
};
// Says that the collection's entries are complete; written with a new collection, or when an older
// database has been brought level.
void put_field_marker(std::uint32_t collection, rocksdb::WriteBatch& batch);

// All entries of one document as records, in the order of their keys, each once.
std::vector<std::pair<std::string, std::string>> field_entries(std::uint32_t collection,
                                                               const StoredDocument& document);

// Errors: kDataLoss (the marker is damaged), kIoError.
Result<bool> is_field_index_complete(const RecordSource& source, std::uint32_t collection);
// As DocumentStore::scan_field.
Status scan_field_index(const RecordSource& source, const FieldRange& range,
                        const FieldVisitor& visit);

// Names of the metadata fields that have an entry, in byte order, at most `limit`.
Result<std::vector<std::string>> read_field_names(const RecordSource& source,
                                                  std::uint32_t collection, std::size_t limit);

}  // namespace nestor::storage
