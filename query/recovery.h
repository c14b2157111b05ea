// Recovery: bringing a collection's index level with the store. The index file is a cache: used if
// it belongs to this very history, caught up through the journal, and otherwise made anew from the
// rows. The answers are the same either way.
//
// Threads: free functions; the index given to save must not change meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "nestor/options.h"
#include "query/collection_index.h"
#include "query/memory_budget.h"
#include "storage/document_store.h"

namespace nestor::query {

struct LoadedIndex {
  std::unique_ptr<CollectionIndex> index;
  std::uint64_t cached_sequence = 0;  // of the file on disk; 0: there is none of use
  std::int64_t caught_up_rows = 0;    // added or removed since the file
  bool calibrated_anew = false;       // what searches have to spend is not in its file yet
  std::string note;  // why the file was not used, empty when it was or none is needed
};

// REQUIRES: collection.width > 0. Errors: those of reading the store; kOutOfMemory (what it needs
// is more than `room` has: asked before it is allocated); a bad cache is none.
Result<LoadedIndex> load_index(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, const LogCallback& log,
                               const IndexRoom& room = {});

// Makes what the index of a grown collection lacks: codes trained on what it is now, the row cache,
// what searches have to spend. Only for the one writer; `loaded` is changed under `exclusively`,
// which lets no search run meanwhile. What `room` has no place for is held back, and what there was
// stays. Errors: those of reading the store; what there was stays.
Status renew_index(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                   const storage::Collection& collection, LoadedIndex& loaded,
                   const std::function<void(const std::function<void()>&)>& exclusively,
                   const IndexRoom& room = {});
// What an index of `passages` rows needs where none is loaded: rows that its file holds are mapped.
std::int64_t bytes_to_load(const storage::DocumentStore& store,
                           const storage::Collection& collection, std::int64_t passages,
                           const MemoryBudget& budget);
// Writes the files that are worth writing: where catching up from what is there costs enough by
// now. `collection` is the state that the index is level with. To be called with no search running.
Status save_index(const storage::DocumentStore& store, const storage::Collection& collection,
                  LoadedIndex& loaded, const IndexRoom& room = {});

// How many rows that are removed the collection's index file still holds; 1 where the store cannot
// tell. Errors: those of reading the store; a file that is not there or damaged holds none.
Result<std::int64_t> removed_rows_in_index_file(const storage::DocumentStore& store,
                                                const storage::DocumentStore::View& view,
                                                const storage::Collection& collection);

}  // namespace nestor::query
