// Recovery: bringing a collection's index level with the store. The index file is a cache: used if
// it belongs to this very history, caught up through the journal, and otherwise made anew from the
// rows. The answers are the same either way.
//
// Threads: free functions; the index given to save must not change meanwhile.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nestor/options.h"
#include "query/collection_index.h"
#include "storage/document_store.h"

namespace nestor::query {

struct LoadedIndex {
  std::unique_ptr<CollectionIndex> index;
  std::uint64_t cached_sequence = 0;  // of the file on disk; 0: there is none of use
  std::int64_t caught_up_rows = 0;    // added or removed since the file
  std::string note;  // why the file was not used, empty when it was or none is needed
};

// REQUIRES: collection.width > 0. Errors: those of reading the store; a bad cache is none.
Result<LoadedIndex> load_index(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, const LogCallback& log);

// Whether catching up costs enough by now that the file should be written again.
bool worth_saving(const storage::Collection& collection, std::uint64_t cached_sequence,
                  std::int64_t caught_up_rows);
// Writes the file. `collection` is the state that the index is level with.
Status save_index(const storage::DocumentStore& store, const storage::Collection& collection,
                  const CollectionIndex& index);

}  // namespace nestor::query
