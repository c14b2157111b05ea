// What a cache file of a collection is made from, as its envelope says it. Threads: safe anywhere.
#pragma once

#include "index/index_file.h"
#include "storage/document_store.h"

namespace nestor::query {

// "external" is of cosines; rows of the other metrics are kept as they were given.
inline std::string cache_space(const storage::Collection& collection) {
  if (!collection.external) return collection.space;
  return collection.metric == Metric::kCosine
             ? "external"
             : std::string("external-") + metric_name(collection.metric);
}

inline index::IndexIdentity cache_identity(const storage::Collection& collection) {
  return {.collection = collection.name,
          .collection_id = collection.id,
          .space = cache_space(collection),
          .width = collection.width,
          .sequence = collection.sequence,
          .digest = collection.digest};
}

// Errors: what differs, in words, but for sequence and digest: a file of another moment can be
// caught up.
inline std::string describe_cache_mismatch(const index::IndexIdentity& found,
                                           const storage::Collection& collection) {
  index::IndexIdentity wanted = cache_identity(collection);
  wanted.sequence = found.sequence;
  wanted.digest = found.digest;
  return index::describe_mismatch(found, wanted);
}

}  // namespace nestor::query
