// Records as bytes: version, payload, checksum over value and key. Nothing that does not decode in
// full, to its last byte, is handed on. Layout: FORMAT.md.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/records.h"

namespace nestor::storage {

// First byte of every value. STORED.
inline constexpr std::uint8_t kRecordVersion = 1;
// Of a collection with a metric of its own: older programs refuse it, and nothing else. STORED.
inline constexpr std::uint8_t kMetricRecordVersion = 2;
// Of a document whose text is not its file, byte for byte.
inline constexpr std::uint8_t kSourceRecordVersion = 2;

// One for the whole store, written in every batch.
struct StoreState {
  std::uint64_t sequence = 0;
  std::uint32_t next_collection_id = 1;
};

// Which RocksDB this is: ties it to the manifest beside it.
struct StoreFormat {
  int format_version = 0;
  std::uint64_t database_id = 0;
  std::string writer;
  std::uint64_t created_seconds = 0;  // since 1970
};

// What of a collection's journal is kept.
struct JournalExtent {
  std::uint64_t first_sequence = 0;
  std::uint64_t entry_count = 0;
  std::uint64_t removed_count = 0;  // row ids in all kept entries
  bool operator==(const JournalExtent&) const = default;
};

struct CollectionRecord {
  Collection collection;
  JournalExtent journal;
};

// What one batch did to a collection.
struct JournalEntry {
  std::uint64_t sequence = 0;           // in the key
  std::uint64_t previous_sequence = 0;  // of the entry before; 0 for the collection's first
  std::uint64_t first_new_row_id = 0;   // rows of the batch have this id or a higher one
  Hash128 digest;                       // of the collection after the batch
  std::vector<std::uint64_t> removed_row_ids;
};

std::string encode_state(std::string_view key, const StoreState& state);
std::string encode_format(std::string_view key, const StoreFormat& format);
std::string encode_collection(std::string_view key, const CollectionRecord& record);
std::string encode_journal_entry(std::string_view key, const JournalEntry& entry);
std::string encode_document(std::string_view key, const StoredDocument& document);
std::string encode_row(std::string_view key, const Row& row);

// Errors of all: kDataLoss, naming what the key stands for and what is wrong with the value.
Result<StoreState> decode_state(std::string_view key, std::string_view value);
Result<StoreFormat> decode_format(std::string_view key, std::string_view value);
Result<CollectionRecord> decode_collection(std::string_view key, std::string_view value);
Result<JournalEntry> decode_journal_entry(std::string_view key, std::string_view value);
Result<StoredDocument> decode_document(std::string_view key, std::string_view value);
// The row must be `width` wide.
Result<Row> decode_row(std::string_view key, std::string_view value, int width);
// The width that a sound row says it has. For a collection whose own record is gone.
Result<int> decode_row_width(std::string_view key, std::string_view value);
// Only the first components of the row's vector, as many as `out` holds.
Status decode_row_vector(std::string_view key, std::string_view value, int width,
                         std::span<float> out);

}  // namespace nestor::storage
