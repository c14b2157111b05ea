#include "storage/collection_descriptor.h"

#include <tuple>
#include <utility>

namespace nestor::storage {

CollectionDescriptor describe(const Collection& collection) {
  // Every member by name: a new one has to be sorted into one of the two groups here.
  const auto& [id, name, width, external, metric, space, model, next_row_id, documents, passages,
               text_bytes, truncated_passages, rows_by_mode, digest, sequence, attributes] =
      collection;
  static_cast<void>(std::tie(id, next_row_id, documents, passages, text_bytes, truncated_passages,
                             rows_by_mode, digest, sequence));
  return {.name = name,
          .dim = width,
          .user_vectors = external,
          .metric = metric,
          .fingerprint = space,
          .model = model,
          .attributes = attributes};
}

Collection make_collection(const CollectionDescriptor& descriptor) {
  const auto& [name, dim, user_vectors, metric, fingerprint, model, attributes] = descriptor;
  Collection collection;
  collection.name = name;
  collection.width = dim;
  collection.external = user_vectors;
  collection.metric = metric;
  collection.space = fingerprint;
  collection.model = model;
  collection.attributes = attributes;
  return collection;
}

void set_options(Collection& collection, const CollectionDescriptor& options) {
  const auto& [name, dim, user_vectors, metric, fingerprint, model, attributes] = options;
  static_cast<void>(std::tie(dim, fingerprint, model));
  collection.name = name;
  collection.external = user_vectors;
  collection.metric = metric;
  collection.attributes = attributes;
}

CollectionDescriptor without_model(CollectionDescriptor descriptor) {
  if (descriptor.user_vectors) return descriptor;
  descriptor.dim = 0;
  descriptor.fingerprint.clear();
  descriptor.model.clear();
  return descriptor;
}

}  // namespace nestor::storage
