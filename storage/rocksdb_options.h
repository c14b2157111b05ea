// How RocksDB is opened, and the guards against what opening it goes wrong with.
// Threads: free functions.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <string>

#include "nestor/status.h"
#include "storage/guarded_files.h"

namespace nestor::storage {

inline constexpr const char* kRocksdbName = "rocksdb";

enum class OpenMode { kCreate, kWrite, kReadOnly };

// Keeps what a database needs for as long as it is open: its files, and the environment RocksDB
// finds them through. Both are null for a reader, which writes nothing.
struct RocksdbCloser {
  std::shared_ptr<GuardedFiles> files;
  std::shared_ptr<rocksdb::Env> environment;
  void operator()(rocksdb::DB* db) const { delete db; }
};
using RocksdbPointer = std::unique_ptr<rocksdb::DB, RocksdbCloser>;

// The first write to the database's files that failed, background ones included. To be asked after
// every write that RocksDB says went well.
Status write_failure_of(const RocksdbPointer& db);
// Runs `work`, which writes by `db`; an exception that comes out of it freezes the files first.
template <typename Work>
auto freezing_on_exception(const RocksdbPointer& db, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (...) {
    if (const auto& files = db.get_deleter().files; files != nullptr) files->freeze();
    throw;
  }
}

// Errors: kDataLoss (damage, or files that are missing), kIoError, kNoSpace, kLocked. Read-only:
// writes nothing, and opens again where a live writer changed the set of files meanwhile.
Result<RocksdbPointer> open_rocksdb(const std::string& folder, OpenMode mode);

// Sizes of the log files, all of which an open for writing turns into a table.
std::int64_t log_bytes(const std::string& folder);

}  // namespace nestor::storage
