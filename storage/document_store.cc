#include "storage/document_store.h"

#include "storage/rocksdb_status.h"
#include "storage/store_opening.h"

namespace nestor::storage {

Result<std::unique_ptr<DocumentStore>> DocumentStore::open(const std::string& path,
                                                           const StoreOptions& options) {
  return catching_exceptions([&] { return open_store(path, options); });
}

}  // namespace nestor::storage
