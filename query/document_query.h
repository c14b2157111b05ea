// What is asked of documents rather than of passages: counting and listing by filter, changing
// metadata in place, removing by filter, and the sweep of what has expired.
// Threads: the reads as the store's; what changes something as its CommitFunction.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "nestor/filter.h"
#include "nestor/status.h"
#include "query/collection_filters.h"
#include "storage/document_store.h"

namespace nestor::query {

// One committed state of one collection, as of a time in seconds since 1970.
struct DocumentSource {
  const storage::DocumentStore& store;
  const storage::DocumentStore::View& view;
  const storage::Collection& collection;  // as in `view`
  CollectionFilters& filters;             // of the same state
  double now = 0;
};

// Documents that match and have not expired. Errors: as find_matching_rows.
Result<std::int64_t> count_documents(const DocumentSource& source, const Filter& filter);
// Their keys in byte order, from the first one after `after`, at most `limit`. Errors: as
// find_matching_rows. Cost: with an index a pass over the keys between two hits, and no document is
// read.
Result<std::vector<std::string>> list_matching_keys(const DocumentSource& source,
                                                    const Filter& filter, const std::string& after,
                                                    std::int64_t limit);
// Documents that match, in the order of their keys, read one after the other; `visit` returns false
// to stop.
Status scan_matching_documents(const DocumentSource& source, const Filter& filter,
                               const std::string& after,
                               const std::function<bool(const storage::StoredDocument&)>& visit);

// Makes a batch from the newest state of the collection, commits it and publishes the state after
// it, with no other change in between; an empty batch is not committed. Given by whoever writes.
using BatchMaker = std::function<Result<storage::Batch>(const DocumentSource& newest)>;
using CommitFunction = std::function<Result<storage::Commit>(const BatchMaker& make)>;

// Changes all of them in one batch; vectors, rows and row ids stay, so no index has to follow.
// Unknown and expired keys are passed over; of equal keys in one call the later change comes on
// top. Returns how many documents were there. Errors: kInvalidArgument (a value that metadata
// cannot hold), those of the commit.
Result<std::int64_t> change_metadata(const std::vector<MetadataChange>& changes,
                                     const CommitFunction& commit);

inline constexpr std::int64_t kRemovalsAtOnce = 10'000;

// Removes what matches, in batches of kRemovalsAtOnce documents, each atomic and durable when the
// next begins. Returns how many went. Errors: as find_matching_rows and commit; kCancelled. After
// an error the batches before it stay removed.
Result<std::int64_t> remove_matching(const Filter& filter, const CommitFunction& commit,
                                     const std::stop_token& stop = {});
// The same for everything that has expired.
Result<std::int64_t> sweep_expired(const CommitFunction& commit, const std::stop_token& stop = {});

}  // namespace nestor::query
