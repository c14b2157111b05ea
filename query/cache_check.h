// The derived files of a collection against their own checksums and against the store: damage is no
// loss, for every one of them can be made again, but verify tells of it and repair takes it away.
// Threads: free functions; as the store.
#pragma once

#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/recovery.h"
#include "storage/document_store.h"

namespace nestor::query {

struct CacheDamage {
  std::string path;
  std::string what;
};

// Every file of the cache folder whose envelope or content is damaged, of any collection.
// Cost: reads the whole folder.
std::vector<CacheDamage> damaged_caches(const storage::DocumentStore& store);
// Cached rows are read one by one, each with its checksum. Empty where there is no row cache.
std::string row_cache_damage(const storage::DocumentStore& store,
                             const storage::DocumentStore::View& view,
                             const storage::Collection& collection);
// Every live row has to be in the index, and nothing else. Appends problems to the report.
// Errors: those of reading the store.
Status compare_index(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                     const storage::Collection& collection, const CollectionIndex& index,
                     VerifyReport& report);
// How many rows that are removed the collection's cache files still hold; more than none where they
// cannot be compared with the store's history. Errors: those of reading the store.
Result<std::int64_t> dead_cached_rows(const storage::DocumentStore& store,
                                      const storage::DocumentStore::View& view,
                                      const storage::Collection& collection);
// All cache files of the collection go. To be called with no search running.
void remove_caches(const storage::DocumentStore& store, const storage::Collection& collection);
// So do those that begin with the id of no collection in `view`; a process that died after a
// reembed leaves some. Errors: those of reading the store; a file that stays is none.
Status remove_caches_of_the_gone(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view);
// The vector space that a cache file of the collection says it was made in; empty: none says so.
std::string space_in_caches(const std::string& cache_folder, std::uint32_t collection);

}  // namespace nestor::query
