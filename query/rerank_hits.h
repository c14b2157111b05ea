// The order that a caller's own function gives the hits. Threads: runs the function in the caller's
// thread.
#pragma once

#include <string_view>
#include <vector>

#include "nestor/search.h"

namespace nestor::query {

// Asks options.rerank for the scores of the first options.rerank_count hits, sorts those by them
// (of equal scores the earlier one first) and fills in rerank_score; the others stay behind them.
// Errors: those of the function, and where it throws; kInvalidArgument (another number of scores
// than of candidates, one that is not finite).
Status rerank_hits(std::string_view question, const SearchOptions& options, std::vector<Hit>& hits);

}  // namespace nestor::query
