// Recovery: the index of a collection from its file and the store. The file is a cache: used if it
// belongs to this very history, brought up to date by the journal, and otherwise made anew from the
// rows. The answers are the same either way.
//
// Threads: free functions; an index that they change is the caller's alone. One call that writes
// files for a collection at a time, by the caller's lock.
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

// The index of one committed state of a collection, and what is known of its files.
struct LoadedIndex {
  CollectionIndex index;
  std::uint64_t cached_sequence = 0;  // of the file on disk; 0: there is none of use
  std::int64_t caught_up_rows = 0;    // added or removed since the file
  bool calibrated_anew = false;       // what searches have to spend is not in its file yet
  std::string note = {};  // why the file was not used, empty when it was or none is needed

  // As CollectionIndex::version.
  [[nodiscard]] Result<LoadedIndex> version() const;
};
// Published: it never changes again.
using IndexPointer = std::shared_ptr<const LoadedIndex>;

// REQUIRES: collection.width > 0. Errors: those of reading the store; kOutOfMemory (what it needs
// is more than `room` has: asked before it is allocated); a bad cache is none.
// Cost: a file that is mapped and what came since; without a file all rows are read. A writer's
// store: also writes the files of a row cache.
Result<LoadedIndex> load_index(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, const LogCallback& log,
                               const IndexRoom& room = {});
// As load_index, for a reader: nothing is written, and codes are trained on what the collection is
// now where it has grown.
Result<LoadedIndex> load_for_reader(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const storage::Collection& collection, const LogCallback& log,
                                    const IndexRoom& room = {});

// Applies the journal: `loaded`, the index of the state `before`, becomes that of the state `after`
// in `view`. False where the journal does not reach back or the states have other vectors; `loaded`
// is of no use then, nor after an error. Errors: those of reading the store, kOutOfMemory.
Result<bool> apply_journal(const storage::DocumentStore& store,
                           const storage::DocumentStore::View& view,
                           const storage::Collection& before, const storage::Collection& after,
                           LoadedIndex& loaded, const IndexRoom& room = {});

// Whether renew_index would do anything.
bool wants_renewal(const LoadedIndex& loaded, const storage::Collection& collection,
                   const IndexRoom& room);
// Makes what the index of a grown collection lacks: codes trained on what it is now, the row cache,
// what searches have to spend; writes a full tail of the row cache to its file. `loaded` is of the
// state `collection` in `view`. What `room` has no place for is deferred, and what there was stays.
// Errors: those of reading the store and of writing; `loaded` is then as good as it was.
Status renew_index(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                   const storage::Collection& collection, LoadedIndex& loaded,
                   const IndexRoom& room = {});
// What an index of `passages` rows needs where none is loaded: rows that its file holds are mapped.
std::int64_t bytes_to_load(const storage::DocumentStore& store,
                           const storage::Collection& collection, std::int64_t passages,
                           const MemoryBudget& budget);
// Writes the files that are worth writing: where catching up from what is there costs enough by
// now. `collection` is the state that the index is of.
Status save_index(const storage::DocumentStore& store, const storage::Collection& collection,
                  LoadedIndex& loaded, const IndexRoom& room = {});

// How many rows that are removed the collection's index file still holds; 1 where the store cannot
// tell. Errors: those of reading the store; a file that is not there or damaged holds none.
Result<std::int64_t> removed_rows_in_index_file(const storage::DocumentStore& store,
                                                const storage::DocumentStore::View& view,
                                                const storage::Collection& collection);

}  // namespace nestor::query
