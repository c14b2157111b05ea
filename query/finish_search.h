// Search: from the candidates of the coarse pass to hits, all in one committed view.
// Threads: free function, safe anywhere the store is.
#pragma once

#include <span>
#include <vector>

#include "nestor/database.h"
#include "query/ranking.h"
#include "query/text_analysis.h"

namespace nestor::query {

struct SelectedHits {
  std::vector<FusionCandidate> hits;  // in the order to be shown
  bool complete = false;              // a larger `wanted` finds no more
};

// Ranks at least the best `wanted` of the candidates and selects what is to be shown of them.
// `query` (parts, collection width), any length, or empty in keyword mode. Errors: those of reading
// the store, kCancelled, kDeadlineExceeded, kFailedPrecondition (the words are not indexed).
Result<SelectedHits> rank_and_select(const SearchPlace& place, std::span<const float> query,
                                     const SearchOptions& options, const CoarseResult& coarse,
                                     std::int64_t wanted, Words& words, Explanation& explain);

// Fetches text, metadata, exact score and snippet of each; with options.rerank in the order that it
// gives them. `analyzer` makes the snippets; null: none are made. Errors: those of reading the
// store, kCancelled, kDeadlineExceeded, those of options.rerank.
Status finish_search(const SearchPlace& place, std::span<const float> query,
                     const SearchOptions& options, std::span<const FusionCandidate> selected,
                     Words& words, TextAnalyzer* analyzer, SearchResult& result);

}  // namespace nestor::query
