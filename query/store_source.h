// The bridge from the store to index/: rows of one collection in one committed view.
// Threads: safe for concurrent reads.
#pragma once

#include "index/vector_source.h"
#include "storage/document_store.h"

namespace nestor::query {

class StoreSource : public index::VectorSource {
 public:
  // Both must outlive the source.
  StoreSource(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
              const storage::Collection& collection)
      : store_(store), view_(view), collection_(collection) {}

  Status read(std::span<const std::uint64_t> ids, int width, float* out) const override {
    return store_.read_vectors(view_, collection_, ids, width, out);
  }
  Status scan(
      std::uint64_t first,
      const std::function<bool(std::uint64_t, std::span<const float>)>& visit) const override {
    return store_.scan_rows(view_, collection_, first,
                            [&](const storage::Row& row) { return visit(row.id, row.vector); });
  }

 private:
  const storage::DocumentStore& store_;
  const storage::DocumentStore::View& view_;
  const storage::Collection& collection_;
};

}  // namespace nestor::query
