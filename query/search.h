// Search: one question through coarse pass, exact rerank and fetch, all in one committed view.
// Threads: free function, safe anywhere the store is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/coarse_index.h"
#include "nestor/database.h"
#include "query/planner.h"
#include "storage/document_store.h"

namespace nestor::query {

// What stands after the coarse pass, when the index is no longer needed.
struct CoarseResult {
  Plan plan;
  std::vector<index::Candidate> candidates;  // best first
  double seconds = 0;
};

// Ranks the candidates at plan.rerank_width, keeps k, and fetches text, metadata and exact cosine
// of each. `query` (collection width), any length. Errors: those of reading the store, kCancelled.
Status finish_search(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                     const storage::Collection& collection, std::span<const float> query,
                     const SearchOptions& options, const CoarseResult& coarse,
                     SearchResult& result);

}  // namespace nestor::query
