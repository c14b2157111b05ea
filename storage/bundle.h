// A bundle: a backup as one file with a checksum, for a database on its way to another place.
// STORED: FORMAT.md, section "Bundles". Threads: free functions, safe anywhere.
#pragma once

#include <string>

#include "nestor/transfer.h"
#include "storage/backup.h"

namespace nestor::storage {

// `file` must not be there. Errors: those of backup_store.
Result<BundleReport> write_bundle(const std::string& path, const std::string& file,
                                  const BackupOptions& options);

// `to` as backup_store's. Everything is checked before the folder gets its name: sizes and names
// before a byte is written, the checksum, and that the database is the one the bundle says it is.
// Errors: kNotFound, kDataLoss, kUnsupported, kAlreadyExists, kNoSpace, kIoError, kCancelled.
Result<BundleReport> read_bundle(const std::string& file, const std::string& to,
                                 const BackupOptions& options);

}  // namespace nestor::storage
