#include "storage/guarded_files.h"

#include <utility>

namespace nestor::storage {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

class GuardedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  GuardedFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::shared_ptr<WriteFailure> failure)
      : FSWritableFileOwnerWrapper(std::move(file)), failure_(std::move(failure)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Append(data, options, debug); });
  }
  IOStatus Append(const Slice& data, const IOOptions& options,
                  const rocksdb::DataVerificationInfo& verification,
                  IODebugContext* debug) override {
    return guard([&] { return target()->Append(data, options, verification, debug); });
  }
  IOStatus Truncate(std::uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Truncate(size, options, debug); });
  }
  IOStatus Flush(const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Flush(options, debug); });
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Sync(options, debug); });
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Fsync(options, debug); });
  }
  IOStatus RangeSync(std::uint64_t offset, std::uint64_t bytes, const IOOptions& options,
                     IODebugContext* debug) override {
    return guard([&] { return target()->RangeSync(offset, bytes, options, debug); });
  }
  // Cuts off what was set aside, which is a write; where that is not wanted any more, the
  // destructor of the file lets go of it.
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    return guard([&] { return target()->Close(options, debug); });
  }

 private:
  template <typename Work>
  IOStatus guard(const Work& work) {
    if (failure_->happened()) return IOStatus::OK();
    try {
      if (const IOStatus status = work(); !status.ok()) failure_->note(status);
    } catch (...) {
      failure_->note(IOStatus::Aborted());
      throw;
    }
    return IOStatus::OK();
  }

  std::shared_ptr<WriteFailure> failure_;
};

class GuardedFolder final : public rocksdb::FSDirectoryWrapper {
 public:
  GuardedFolder(std::unique_ptr<rocksdb::FSDirectory> folder, std::shared_ptr<WriteFailure> failure)
      : FSDirectoryWrapper(std::move(folder)), failure_(std::move(failure)) {}

  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return check(FSDirectoryWrapper::Fsync(options, debug));
  }
  IOStatus FsyncWithDirOptions(const IOOptions& options, IODebugContext* debug,
                               const rocksdb::DirFsyncOptions& folder_options) override {
    return check(FSDirectoryWrapper::FsyncWithDirOptions(options, debug, folder_options));
  }

 private:
  IOStatus check(IOStatus status) {
    if (!status.ok()) failure_->note(status);
    return status;
  }

  std::shared_ptr<WriteFailure> failure_;
};

}  // namespace

IOStatus WriteFailure::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void WriteFailure::note(const IOStatus& status) {
  const std::lock_guard lock(mutex_);
  if (happened_) return;
  status_ = status;
  happened_ = true;
}

GuardedFiles::GuardedFiles()
    : FileSystemWrapper(rocksdb::FileSystem::Default()),
      failure_(std::make_shared<WriteFailure>()) {}

rocksdb::Status GuardedFiles::failure() const {
  return failure_->happened() ? failure_->status() : IOStatus::OK();
}

void GuardedFiles::freeze() { failure_->note(IOStatus::Aborted()); }

IOStatus GuardedFiles::NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       IODebugContext* debug) {
  if (failure_->happened()) return failure_->status();
  IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
  if (status.ok()) *file = std::make_unique<GuardedFile>(std::move(*file), failure_);
  return status;
}

IOStatus GuardedFiles::NewDirectory(const std::string& path, const IOOptions& options,
                                    std::unique_ptr<rocksdb::FSDirectory>* folder,
                                    IODebugContext* debug) {
  IOStatus status = FileSystemWrapper::NewDirectory(path, options, folder, debug);
  if (status.ok()) *folder = std::make_unique<GuardedFolder>(std::move(*folder), failure_);
  return status;
}

IOStatus GuardedFiles::RenameFile(const std::string& from, const std::string& to,
                                  const IOOptions& options, IODebugContext* debug) {
  if (failure_->happened()) return failure_->status();
  return FileSystemWrapper::RenameFile(from, to, options, debug);
}

// What RocksDB wants gone may be what it believes to have written elsewhere.
IOStatus GuardedFiles::DeleteFile(const std::string& path, const IOOptions& options,
                                  IODebugContext* debug) {
  if (failure_->happened()) return failure_->status();
  return FileSystemWrapper::DeleteFile(path, options, debug);
}

}  // namespace nestor::storage
