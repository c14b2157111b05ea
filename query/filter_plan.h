// From a filter to the set of rows it leaves, exactly and before anything is searched. Conditions
// are answered by the field index, AND OR NOT by operations on sets. A collection without an index
// (an older format opened read-only) is answered by reading its documents. Expired documents are
// never in the set, whatever the filter.
// Threads: free functions; those of the store and the cache.
#pragma once

#include <cstdint>

#include "nestor/filter.h"
#include "nestor/status.h"
#include "query/collection_filters.h"
#include "storage/document_store.h"

namespace nestor::query {

struct MatchingRows {
  RowSetPointer rows;
  std::int64_t row_count = 0;   // of `rows`
  std::int64_t live_count = 0;  // of the collection, expired ones left out
  // Every row that lives in the store matches: an unfiltered search gives the same.
  bool everything = false;
  bool indexed = true;   // false: the documents were read
  LiveRowsPointer live;  // that `rows` range over
};

// `collection` as it is in `view`, `filters` of the same state; `now` in seconds since 1970.
// Errors: kInvalidArgument (a filter built wrong), those of reading the store.
// Cost: with all conditions in `filters` some microseconds at 100,000 rows. A condition met for the
// first time costs a pass over its entries (about 1 us each); `contains` over all strings of the
// field; list equality reads the documents that hold all elements.
Result<MatchingRows> find_matching_rows(const storage::DocumentStore& store,
                                        const storage::DocumentStore::View& view,
                                        const storage::Collection& collection, const Filter& filter,
                                        double now, CollectionFilters& filters);

// How many documents have a row in `matching`, which has all rows of a document or none.
std::int64_t count_matching_documents(const MatchingRows& matching);

}  // namespace nestor::query
