// Query vectors: several parts into the vectors that are searched for, and the score of a row
// against them. A block of query vectors is (count, width). Threads: pure functions, safe anywhere.
#pragma once

#include <span>
#include <vector>

#include "index/coarse_index.h"
#include "nestor/options.h"
#include "nestor/query.h"
#include "nestor/status.h"

namespace nestor::query {

// Rocchio's vector of the parts, or one for each of `like`: formula and source in nestor/query.h. A
// part that nothing is mixed with stays as it is, bit for bit. REQUIRES: `like` not empty, all of
// one width, weights above 0, as query_check has them. Errors: kInvalidArgument (cosines: the parts
// cancel out).
Result<std::vector<float>> combine_parts(std::span<const Weighted<std::vector<float>>> like,
                                         std::span<const Weighted<std::vector<float>>> unlike,
                                         double unlike_weight, Combination combination,
                                         Metric metric);

// Each vector of a block.
std::vector<std::span<const float>> query_parts(std::span<const float> block, int width);

// Every id of the two, once, with the better of its scores; best first.
std::vector<index::Candidate> best_of_each(std::vector<index::Candidate> first,
                                           std::vector<index::Candidate> second);

// What people are shown for an index's score: of kL2 the distance, not its square.
double shown_score(Metric metric, double index_score);
// The best shown score of `row` over a block of query vectors, in double precision; 0 for none.
double exact_score(Metric metric, std::span<const float> block, std::span<const float> row);

}  // namespace nestor::query
