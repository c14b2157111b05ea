// How RocksDB is opened, and the guards against what opening it goes wrong with.
// Threads: free functions.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string>

#include "nestor/status.h"

namespace nestor::storage {

inline constexpr const char* kRocksdbName = "rocksdb";

enum class OpenMode { kCreate, kWrite, kReadOnly };

// Errors: kDataLoss (damage, or files that are missing), kIoError, kNoSpace, kLocked. Read-only:
// writes nothing, and opens again where a live writer changed the set of files meanwhile.
Result<std::unique_ptr<rocksdb::DB>> open_rocksdb(const std::string& folder, OpenMode mode);

// Sizes of the log files, all of which an open for writing turns into a table.
std::int64_t log_bytes(const std::string& folder);

}  // namespace nestor::storage
