#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

StatusCode code_of(const rocksdb::Status& status) {
  if (status.IsNoSpace()) return StatusCode::kNoSpace;
  // A file of RocksDB's own that is not there is damage, not an absent key (those are asked for
  // apart).
  if (status.IsCorruption() || status.IsPathNotFound() || status.IsNotFound()) {
    return StatusCode::kDataLoss;
  }
  if (status.IsMemoryLimit()) return StatusCode::kOutOfMemory;
  if (status.IsIOError() || status.IsTimedOut() || status.IsBusy() || status.IsTryAgain()) {
    return StatusCode::kIoError;
  }
  if (status.IsNotSupported()) return StatusCode::kUnsupported;
  return StatusCode::kInternal;
}

}  // namespace

Status status_from_rocksdb(const rocksdb::Status& status, const std::string& action) {
  if (status.ok()) return {};
  const StatusCode code = code_of(status);
  std::string message = "cannot " + action + ": RocksDB says: " + status.ToString();
  if (code == StatusCode::kDataLoss) {
    message +=
        ". The files are damaged: restore the database from a copy, or make it anew from the "
        "documents";
  }
  return {code, std::move(message)};
}

}  // namespace nestor::storage
