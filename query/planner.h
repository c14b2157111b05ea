// Planner: from what the caller asked and what the collection is, to widths and a candidate count.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>

#include "nestor/database.h"

namespace nestor::query {

struct Plan {
  int coarse_width = 0;
  int rerank_width = 0;
  std::int64_t candidate_count = 0;
  bool exact = false;  // every passage is scored at rerank_width
};

// How many ranked passages the options need: offset and k, and more where some will be dropped
// (per_document, diversity).
std::int64_t wanted_hits(const SearchOptions& options);

// Errors: kInvalidArgument (a width the collection does not have, all of them named; coarse wider
// than rerank).
Result<Plan> make_plan(const SearchOptions& options, int full_width, bool matryoshka,
                       std::int64_t passages);

}  // namespace nestor::query
