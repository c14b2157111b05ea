#include "storage/document_store.h"

#include <utility>

#include "core/macros.h"
#include "storage/rocksdb_status.h"
#include "storage/store_opening.h"

namespace nestor::storage {

Result<std::unique_ptr<DocumentStore>> DocumentStore::open(const std::string& path,
                                                           const StoreOptions& options) {
  return catching_exceptions([&] { return open_store(path, options); });
}

namespace {

Result<Commit> apply_prepared(DocumentStore& store,
                              Result<DocumentStore::PreparedPointer> prepared) {
  NESTOR_RETURN_IF_ERROR(prepared.status());
  NESTOR_RETURN_IF_ERROR(store.apply(*prepared.value()));
  return prepared.value()->commit();
}

Result<Collection> collection_after(Result<Commit> commit) {
  NESTOR_RETURN_IF_ERROR(commit.status());
  return std::move(commit.value().collection);
}

}  // namespace

Result<Commit> DocumentStore::commit(const Batch& batch) {
  return apply_prepared(*this, prepare(batch));
}

Result<Collection> DocumentStore::create_collection(const CollectionDescriptor& descriptor) {
  return collection_after(apply_prepared(*this, prepare_collection(descriptor)));
}

Result<Collection> DocumentStore::create_collection(const std::string& name, int dim,
                                                    bool user_vectors) {
  CollectionDescriptor descriptor;
  descriptor.name = name;
  descriptor.dim = dim;
  descriptor.user_vectors = user_vectors;
  return create_collection(descriptor);
}

Status DocumentStore::set_attribute(const std::string& collection, const std::string& name,
                                    const std::string& value) {
  return apply_prepared(*this, prepare_attribute(collection, name, value)).status();
}

Result<Collection> DocumentStore::create_shadow(const std::string& collection) {
  return collection_after(apply_prepared(*this, prepare_shadow(collection)));
}

Result<Collection> DocumentStore::swap_in_shadow(const std::string& collection) {
  return collection_after(apply_prepared(*this, prepare_swap(collection)));
}

Status DocumentStore::drop_shadow(const std::string& collection) {
  return apply_prepared(*this, prepare_drop_shadow(collection)).status();
}

}  // namespace nestor::storage
