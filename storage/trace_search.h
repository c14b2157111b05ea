// The proof of an erasure: looks for what is left of a document in every version of every record
// that RocksDB still holds, hidden and deleted ones too, and byte by byte in logs, lists of files,
// caches and whatever else lies in the folder. Threads: free functions; as their DB.
#pragma once

#include <rocksdb/db.h>

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/maintenance.h"
#include "nestor/status.h"

namespace nestor::storage {

struct TraceQuery {
  std::uint32_t collection = 0;
  std::string key;
  // Bytes that must be nowhere but in other documents: the text, a title, a word.
  std::vector<std::string> texts;
};

// Errors: kInvalidArgument (no key, an empty text), kCancelled, kIoError.
// Cost: reads every version of every record, and every other file.
Result<ErasureReport> search_traces(const std::string& path, rocksdb::DB& db,
                                    const TraceQuery& query, const std::stop_token& stop);

// What a RocksDB log or MANIFEST says: its records without the headers that cut them into blocks of
// 32 KiB. Format: RocksDB's db/log_format.h.
std::string unframed_log(std::string_view bytes);

}  // namespace nestor::storage
