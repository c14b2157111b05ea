// Ranking: one order of passages out of the coarse pass, the exact rerank and the query's words.
// Threads: free functions, safe anywhere the store is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/row_set.h"
#include "index/coarse_index.h"
#include "nestor/search.h"
#include "query/fusion.h"
#include "query/keyword_search.h"
#include "query/planner.h"
#include "storage/document_store.h"

namespace nestor::query {

// What a search runs against: one collection in one committed view.
struct SearchPlace {
  const storage::DocumentStore& store;
  const storage::DocumentStore::View& view;
  const storage::Collection& collection;
  const RowSet* rows = nullptr;                  // that may be found; null: all
  std::span<const std::uint64_t> left_out = {};  // of those; ascending
};

// What stands after the coarse pass, when the index is no longer needed.
struct CoarseResult {
  Plan plan;
  std::vector<index::Candidate> candidates;  // best first
  bool ranked = false;                       // the scores are exact at plan.rerank_width already
  int bits = 0;                              // of a component in the coarse pass
  std::int64_t matching = 0;                 // passages that may be found
  double filter_seconds = 0;
  double seconds = 0;
};

// The query's words and where they are looked up.
struct Words {
  KeywordSearch& search;
  KeywordQuery query;
  std::string_view text = {};  // of the question
};

struct RankedPassages {
  std::vector<FusionCandidate> passages;  // best first
  bool complete = false;                  // no passage that may be found is left out
};

// At least the best `wanted` passages: by cosine, by BM25 or by the fused score. The other scores
// are filled in where they are known: the cosine at plan.rerank_width (keyword mode: the full
// width; 0 where `query` is empty), BM25 unless the mode is vector. `query` (parts, collection
// width): the best score over them. `explain` gets counts and times. Errors: those of reading the
// store, kCancelled, kFailedPrecondition (the words are not indexed).
Result<RankedPassages> rank_passages(const SearchPlace& place, std::span<const float> query,
                                     const SearchOptions& options, const CoarseResult& coarse,
                                     std::int64_t wanted, Words& words, Explanation& explain);

}  // namespace nestor::query
