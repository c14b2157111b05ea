// How RocksDB is opened, and the guards against what opening it goes wrong with.
// Threads: free functions.
#pragma once

#include <rocksdb/db.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "nestor/status.h"
#include "storage/guarded_files.h"

namespace nestor::storage {

inline constexpr const char* kRocksdbName = "rocksdb";

// kSalvage: read-only and lenient, for a repair: log records after a damaged one are read too, and
// files are missed only where they are needed.
enum class OpenMode { kCreate, kWrite, kReadOnly, kSalvage };

// Keeps what a database needs for as long as it is open: its files, and the environment RocksDB
// finds them through. Both are null for a reader, which writes nothing.
struct RocksdbCloser {
  std::shared_ptr<GuardedFiles> files;
  std::shared_ptr<rocksdb::Env> environment;
  void operator()(rocksdb::DB* db) const { delete db; }
};
// Made with a RocksdbCloser; shared with the views, so that a refresh can replace a reader's.
using RocksdbPointer = std::shared_ptr<rocksdb::DB>;
// Null for a reader's.
GuardedFiles* files_of(const RocksdbPointer& db);

// The first write to the database's files that failed, background ones included. To be asked after
// every write that RocksDB says went well.
Status write_failure_of(const RocksdbPointer& db);
// Runs `work`, which writes by `db`; an exception that comes out of it freezes the files first.
template <typename Work>
auto freezing_on_exception(const RocksdbPointer& db, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (...) {
    if (GuardedFiles* const files = files_of(db)) files->freeze();
    throw;
  }
}

// Errors: kDataLoss (damage, or files that are missing), kIoError, kNoSpace, kLocked. Read-only:
// writes nothing, and opens again where a live writer changed the set of files meanwhile.
// `memory_bytes` as StoreOptions has it.
Result<RocksdbPointer> open_rocksdb(const std::string& folder, OpenMode mode,
                                    std::int64_t memory_bytes = 0);

// Names of all files but the growing logs' sizes, and the manifest's size: equal before and after
// some work means that no flush, compaction or new log fell into it.
std::map<std::string, std::int64_t> file_set(const std::string& folder);
// RocksDB's own repair, in place: a new list of files from the tables and logs that are there; what
// it cannot read it moves to FOLDER/lost. Errors: kDataLoss (no files), kIoError, kNoSpace.
Status repair_rocksdb(const std::string& folder);

// Sizes of the log files, all of which an open for writing turns into a table.
std::int64_t log_bytes(const std::string& folder);

}  // namespace nestor::storage
