// A backup: another folder that is a database, as of one batch, made while its writer goes on.
// Works from the files alone, so any process that may read the database can make one; RocksDB's own
// checkpoints need the handle that writes.
// Threads: free function, safe anywhere.
#pragma once

#include <cstdint>
#include <string>

#include "nestor/status.h"
#include "nestor/transfer.h"

namespace nestor::storage {

struct BackupResult {
  std::uint64_t sequence = 0;  // of the last batch that is in it
  std::int64_t bytes = 0;      // of its files
  std::int64_t linked_bytes = 0;
  std::int64_t documents = 0;  // as verified
  std::int64_t passages = 0;
};

// `to` must not be there, or be an empty folder. It holds every batch that was acknowledged before
// the call; index caches are left out, they are made anew. What a process leaves that dies is
// `to`.tmp-PID. Errors: kNotFound (no database at `path`), kAlreadyExists (`to` holds something),
// kInvalidArgument (`to` lies inside the database), kDataLoss (what verify found; nothing is left),
// kNoSpace, kIoError, kCancelled.
Result<BackupResult> backup_store(const std::string& path, const std::string& to,
                                  const BackupOptions& options);

}  // namespace nestor::storage
