// RowFiles: the row cache of a collection on disk, level with the store: segments of 8-bit rows and
// a list of them that says which state of the collection they reach. A cache like the index: with
// another history or damage it is made anew from the store.
// STORED: storage/FORMAT.md, section "Row caches".
//
// Threads: free functions; the cache given to them must not change meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "index/row_cache.h"
#include "nestor/options.h"
#include "storage/document_store.h"

namespace nestor::query {

// A tail of so many rows is written out (of 768 components: 53 MB).
inline constexpr std::int64_t kMostTailRows = 1 << 16;

struct CachedRows {
  index::RowCache rows;
  std::uint64_t cached_sequence = 0;  // that the list on disk reaches; 0: there is none of use
};

// From the files, caught up in memory; where they are of no use, made anew from the store and
// written as it grows, whenever the tail has `tail_rows`. Nothing where a read-only store has no
// files of use, or too few. Errors: those of reading the store and of writing; a bad cache is none.
Result<std::optional<CachedRows>> load_rows(const storage::DocumentStore& store,
                                            const storage::DocumentStore::View& view,
                                            const storage::Collection& collection,
                                            const LogCallback& log,
                                            std::int64_t tail_rows = kMostTailRows);
// Writes the tail, small segments gathered into it first. `collection` is the state that
// the cache is level with. To be called with no search running (it maps what it wrote).
// Errors: those of writing; the cache can still be used.
Status save_rows(const storage::DocumentStore& store, const storage::Collection& collection,
                 const std::function<bool(std::uint64_t)>& live, CachedRows& cached,
                 std::int64_t tail_rows = kMostTailRows);
// The same in two steps, the first beside searches: the tail and then the list of the segments.
// Returns the path for index::RowCache::map_tail.
Result<std::string> write_rows(const storage::DocumentStore& store,
                               const storage::Collection& collection, const index::RowCache& rows);
// Whether the files are whole and belong to this store's history; reads every cached row that is
// live. Errors: kNotFound (there are none), kDataLoss (says what), those of reading the store.
Status check_row_files(const storage::DocumentStore& store,
                       const storage::DocumentStore::View& view,
                       const storage::Collection& collection);
// How many cached rows on disk are of removed documents. Errors: those of check_row_files.
Result<std::int64_t> removed_rows_in_row_files(const storage::DocumentStore& store,
                                               const storage::DocumentStore::View& view,
                                               const storage::Collection& collection);
// The file that lists the segments.
std::string row_list_path(const storage::DocumentStore& store,
                          const storage::Collection& collection);
// Files of this collection's rows go, where the cache was found damaged.
void remove_rows(const storage::DocumentStore& store, const storage::Collection& collection);

}  // namespace nestor::query
