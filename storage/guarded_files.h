// RocksDB's files, frozen at the first write that fails: from then on nothing of this database
// reaches the disk, and what is there is what a process leaves that was killed at that moment,
// which every open can deal with. RocksDB itself is told that all went well: Debian's has
// assertions on, and ends the process when it touches a file again whose write failed
// (writable_file_writer.h, seen with EIO and ENOSPC on log, manifest and tables). So whoever writes
// must ask failure() before it believes RocksDB. Threads: safe anywhere.
#pragma once

#include <rocksdb/file_system.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

namespace nestor::storage {

// The first failure of a database's files.
class WriteFailure {
 public:
  [[nodiscard]] bool happened() const { return happened_; }
  [[nodiscard]] rocksdb::IOStatus status() const;
  void note(const rocksdb::IOStatus& status);

 private:
  mutable std::mutex mutex_;  // guards status_
  rocksdb::IOStatus status_;
  std::atomic<bool> happened_{false};
};

class GuardedFiles final : public rocksdb::FileSystemWrapper {
 public:
  GuardedFiles();
  static const char* kClassName() { return "NestorGuardedFiles"; }
  const char* Name() const override { return kClassName(); }

  // Ok while every write went well.
  [[nodiscard]] rocksdb::Status failure() const;
  // Whether one did not. Allocates nothing.
  [[nodiscard]] bool failed() const { return failure_->happened(); }
  // As if a write had failed now: to be called when an exception came out of RocksDB, for a buffer
  // that it left behind half emptied would be written a second time when the file is closed.
  void freeze();

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* folder,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;

 private:
  // Shared: RocksDB may keep a file longer than the file system.
  std::shared_ptr<WriteFailure> failure_;
};

}  // namespace nestor::storage
