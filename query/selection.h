// Selection: which of the ranked passages a person gets: not under the least score, not too many of
// one document, different from one another, from the offset on. Threads: safe anywhere the store
// is.
#pragma once

#include <vector>

#include "query/ranking.h"

namespace nestor::query {

// How many select_hits gives where there are enough: options.k; with a rerank callback all that it
// is to see.
std::int64_t hits_to_select(const SearchOptions& options);
// At most hits_to_select, in the order to be shown; with a rerank callback from the first on.
// `pool` of the ranked ones are compared for variety. Errors: those of reading the store,
// kInvalidArgument.
Result<std::vector<FusionCandidate>> select_hits(const SearchPlace& place,
                                                 const SearchOptions& options, std::int64_t pool,
                                                 std::vector<FusionCandidate> ranked);

}  // namespace nestor::query
