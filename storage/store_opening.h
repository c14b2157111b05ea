// From a path to a store that may be trusted: whose folder it is, which format, who holds it,
// whether everything acknowledged is there. Threads: free functions.
#pragma once

#include <memory>
#include <string>

#include "storage/document_store.h"

namespace nestor::storage {

// As DocumentStore::open, but may throw what RocksDB and the standard library throw.
Result<std::unique_ptr<DocumentStore>> open_store(const std::string& path,
                                                  const StoreOptions& options);

}  // namespace nestor::storage
