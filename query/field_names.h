// Which fields the documents of a collection have, and which names in a filter are none of them: a
// misspelt name turns `year != 2020` into "everything". Threads: free functions, as the store's
// reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nestor/filter.h"
#include "nestor/status.h"
#include "storage/document_store.h"

namespace nestor::query {

// Of the metadata fields that any document has, expired ones included, in byte order; at most
// `limit`. Cost: a seek per name; a pass over all documents where an older format has no index.
Result<std::vector<std::string>> field_names(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& collection,
                                             std::size_t limit);
// Fields of the filter that no document has, each once, in the order of the filter. Errors: also
// kInvalidArgument (a wrong filter).
Result<std::vector<UnknownField>> unknown_fields(const storage::DocumentStore& store,
                                                 const storage::DocumentStore::View& view,
                                                 const storage::Collection& collection,
                                                 const Filter& filter);
// Up to three of `names` that a person may have meant, the likeliest first: equal but for case, or
// a few letters away (one in three), where two that stand in the wrong order count as one.
std::vector<std::string> similar_names(std::string_view typed,
                                       const std::vector<std::string>& names);

}  // namespace nestor::query
