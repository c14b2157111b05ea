// From a path to a store that may be trusted: whose folder it is, which format, who holds it,
// whether everything acknowledged is there. Threads: free functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "storage/document_store.h"
#include "storage/manifest.h"
#include "storage/record_codec.h"
#include "storage/rocksdb_options.h"

namespace nestor::storage {

// RocksDB read-only, and what it came up with: all that was acknowledged when the call began.
struct CheckedStore {
  RocksdbPointer db;
  StoreState state;
  std::uint64_t watermark = 0;  // before RocksDB was opened
};

// Errors: kDataLoss, kIoError, kUnsupported. May throw as open_store.
Result<CheckedStore> open_checked_read_only(const std::string& path, const Manifest& manifest,
                                            std::int64_t memory_bytes = 0);

// As DocumentStore::open, but may throw what RocksDB and the standard library throw.
Result<std::unique_ptr<DocumentStore>> open_store(const std::string& path,
                                                  const StoreOptions& options);

}  // namespace nestor::storage
