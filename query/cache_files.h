// The derived files of collections that are no more. Threads: free function; for the one writer.
#pragma once

#include "storage/document_store.h"

namespace nestor::query {

// Removes the files in the cache folder that begin with the id of no collection in `view`; a
// process that died after a swap leaves some. Errors: those of reading the store; a file that stays
// is none.
Status remove_caches_of_the_gone(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view);

}  // namespace nestor::query
