// Selection: which of the ranked passages a person gets: not under the least score, not too many of
// one document, different from one another, from the offset on. Threads: safe anywhere the store
// is.
#pragma once

#include <vector>

#include "query/ranking.h"

namespace nestor::query {

// At most options.k, in the order to be shown; with a rerank callback all that it is to see, from
// the first on. Errors: those of reading the store,
// kInvalidArgument.
Result<std::vector<FusionCandidate>> select_hits(const SearchPlace& place,
                                                 const SearchOptions& options,
                                                 std::vector<FusionCandidate> ranked);

}  // namespace nestor::query
