#include "storage/rocksdb_options.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <thread>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/macros.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kDeletionWindow = 8'192;  // entries in a row

// RocksDB's file LOG is not written: a reader may not write at all, and a writer whose disk fails
// would die of it (the log's file is not among the guarded ones, and Debian's RocksDB asserts on
// its second failure). What matters is in the Status of the calls.
class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

constexpr std::size_t kUsualBlockBytes = std::size_t{64} << 20;
constexpr std::size_t kUsualBufferBytes = std::size_t{32} << 20;

rocksdb::BlockBasedTableOptions table_options(std::size_t memory_bytes) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(memory_bytes > 0 ? memory_bytes : kUsualBlockBytes);
  // Otherwise every open table holds its own for good, outside of any limit.
  table.cache_index_and_filter_blocks = memory_bytes > 0;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  return table;
}

// What is not in tables yet takes its room from the blocks: one limit for both. A buffer is flushed
// at half of its share, since a second one fills while the first is written.
void limit_buffers(std::size_t memory_bytes, const std::shared_ptr<rocksdb::Cache>& blocks,
                   rocksdb::Options& options) {
  const std::size_t buffers = memory_bytes / 2;
  options.write_buffer_manager = std::make_shared<rocksdb::WriteBufferManager>(buffers, blocks);
  options.write_buffer_size = std::min(kUsualBufferBytes, buffers / 2);
  options.max_write_buffer_number = 2;
  options.compaction_readahead_size = std::min(memory_bytes / 32, std::size_t{2} << 20);
}

rocksdb::Options rocksdb_options(OpenMode mode, std::size_t memory_bytes = 0) {
  rocksdb::Options options;
  options.create_if_missing = mode == OpenMode::kCreate;
  options.paranoid_checks = true;
  // A torn last record is what a power cut leaves of a batch that was never acknowledged, so it
  // must be passed over; damage further up ends the replay too, and the watermark tells the two
  // apart.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.max_bgerror_resume_count = 0;            // after an error: close and open again
  options.compression = rocksdb::kLZ4Compression;  // for texts; vectors are kept as they are
  options.write_buffer_size = kUsualBufferBytes;
  const rocksdb::BlockBasedTableOptions table = table_options(memory_bytes);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  if (memory_bytes > 0) limit_buffers(memory_bytes, table.block_cache, options);
  options.db_host_id.clear();  // a database tells nobody on which machine it was made
  // A table of which a quarter are deletions is compacted in the background, also next time.
  options.table_properties_collector_factories.push_back(
      rocksdb::NewCompactOnDeletionCollectorFactory(kDeletionWindow, kDeletionWindow / 4, .25));
  // Bounds what one step of a compaction rewrites, and with it the extra disk.
  options.max_compaction_bytes = std::uint64_t{512} << 20;
  // A new list of files with each change: the old one names first and last keys of tables that are
  // gone. It is some 200 bytes a table.
  options.max_manifest_file_size = 1;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  // Fifteen threads would come and go for each column family of each open, empty ones too.
  options.max_file_opening_threads = 1;
  options.info_log = std::make_shared<SilentLogger>();
  if (mode == OpenMode::kReadOnly) {
    options.max_open_files = -1;  // opened now, held: a writer may delete a file later
  } else if (mode == OpenMode::kSalvage) {
    options.max_open_files = 256;
    options.paranoid_checks = false;
    options.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
  } else {
    options.max_open_files = 256;
  }
  return options;
}

Status open_status(const rocksdb::Status& status, const std::string& folder) {
  // RocksDB says "invalid argument" where CURRENT is missing, and "IO error" where its own lock is
  // held; and "invalid argument" around an "IO error" where it has no file descriptors left.
  const std::string action = "open " + folder;
  if (status.IsInvalidArgument() && status.ToString().find("IO error") != std::string::npos) {
    return {StatusCode::kIoError, "cannot " + action + ": " + status.ToString()};
  }
  if (status.IsInvalidArgument()) {
    return {StatusCode::kDataLoss, "cannot " + action + ": " + status.ToString() +
                                       "; files are missing, restore the database from a backup"};
  }
  if (status.IsIOError() && status.ToString().find("lock ") != std::string::npos) {
    return {StatusCode::kLocked, "cannot " + action + ": " + status.ToString()};
  }
  return status_from_rocksdb(status, action);
}

Result<RocksdbPointer> open_guarded(rocksdb::Options& options, const std::string& folder) {
  RocksdbCloser closer{.files = std::make_shared<GuardedFiles>(), .environment = {}};
  closer.environment = rocksdb::NewCompositeEnv(closer.files);
  options.env = closer.environment.get();
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status;
  try {
    status = rocksdb::DB::Open(options, folder, &raw);
  } catch (...) {
    closer.files->freeze();
    throw;
  }
  RocksdbPointer db(raw, std::move(closer));
  // Where a file could not be written, what RocksDB says after it is a consequence.
  NESTOR_RETURN_IF_ERROR(write_failure_of(db).with_context("cannot open " + folder));
  if (!status.ok()) return open_status(status, folder);
  return db;
}

Result<RocksdbPointer> open_once(const std::string& folder, OpenMode mode,
                                 std::int64_t memory_bytes) {
  rocksdb::Options options = rocksdb_options(mode, static_cast<std::size_t>(memory_bytes));
  rocksdb::DB* raw = nullptr;
  rocksdb::Status status;
  if (mode == OpenMode::kReadOnly || mode == OpenMode::kSalvage) {
    // By column families: the plain call may choose a variant for compacted databases with fewer
    // reads.
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    status = rocksdb::DB::OpenForReadOnly(
        options, folder, {{rocksdb::kDefaultColumnFamilyName, options}}, &handles, &raw);
    if (status.ok()) {
      RocksdbPointer db(raw);
      for (rocksdb::ColumnFamilyHandle* handle : handles) {
        status = db->DestroyColumnFamilyHandle(handle);
        if (!status.ok()) return open_status(status, folder);
      }
      return db;
    }
  } else {
    return open_guarded(options, folder);
  }
  return open_status(status, folder);
}

}  // namespace

std::map<std::string, std::int64_t> file_set(const std::string& folder) {
  std::map<std::string, std::int64_t> files;
  const auto entries = list_folder(folder);
  if (!entries.ok()) return files;
  for (const FolderEntry& entry : entries.value()) {
    files[entry.name] = entry.name.starts_with("MANIFEST-") ? entry.bytes : 0;
  }
  return files;
}

GuardedFiles* files_of(const RocksdbPointer& db) {
  const auto* const closer = std::get_deleter<RocksdbCloser>(db);
  return closer == nullptr ? nullptr : closer->files.get();
}

Status write_failure_of(const RocksdbPointer& db) {
  const GuardedFiles* const files = files_of(db);
  if (files == nullptr || !files->failed()) return {};
  return status_from_rocksdb(files->failure(), "write the files of the database");
}

Result<RocksdbPointer> open_rocksdb(const std::string& folder, OpenMode mode,
                                    std::int64_t memory_bytes) {
  if (mode != OpenMode::kReadOnly) return open_once(folder, mode, memory_bytes);
  // RocksDB leaves open what a read-only open sees beside a writer: between its reading of the
  // manifest and of the logs a log may turn into a table and vanish. So: only an undisturbed open
  // counts.
  constexpr int kTries = 50;
  for (int attempt = 1;; ++attempt) {
    const auto before = file_set(folder);
    Result<RocksdbPointer> opened = open_once(folder, mode, memory_bytes);
    if (file_set(folder) == before) return opened;
    if (attempt == kTries) {
      return Status(StatusCode::kIoError,
                    fmt::format("{} changed under each of {} tries to open it read-only; try again "
                                "when its writer is less busy",
                                folder, kTries));
    }
    opened = Status(StatusCode::kIoError, "disturbed");  // closes it before the next try
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * attempt));
  }
}

Status repair_rocksdb(const std::string& folder) {
  return status_from_rocksdb(rocksdb::RepairDB(folder, rocksdb_options(OpenMode::kSalvage)),
                             "make a list of the files in " + folder);
}

std::int64_t log_bytes(const std::string& folder) {
  std::int64_t total = 0;
  const auto entries = list_folder(folder);
  if (!entries.ok()) return 0;
  for (const FolderEntry& entry : entries.value()) {
    if (entry.name.ends_with(".log")) total += entry.bytes;
  }
  return total;
}

}  // namespace nestor::storage
