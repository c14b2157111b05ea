// Search: from the candidates of the coarse pass to hits, all in one committed view.
// Threads: free function, safe anywhere the store is.
#pragma once

#include <span>

#include "nestor/database.h"
#include "query/ranking.h"
#include "query/text_analysis.h"

namespace nestor::query {

// Ranks the candidates, selects k of them, and fetches text, metadata, exact score and snippet of
// each; with options.rerank in the order that it gives them. `query` (parts, collection width), any
// length, or empty in keyword mode. `analyzer` makes the
// snippets; null: none are made. Errors: those of reading the store, kCancelled,
// kDeadlineExceeded, kFailedPrecondition (the words are not indexed), those of options.rerank.
Status finish_search(const SearchPlace& place, std::span<const float> query,
                     const SearchOptions& options, const CoarseResult& coarse, Words& words,
                     TextAnalyzer* analyzer, SearchResult& result);

}  // namespace nestor::query
