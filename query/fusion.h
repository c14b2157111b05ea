// Fusion: one order of passages out of what vectors and words say of them. Pure functions, safe
// anywhere; equal input gives equal output to the last bit, of equal scores the lower row id first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nestor/search.h"
#include "nestor/status.h"

namespace nestor::query {

// A candidate of either search, with both scores: the exact cosine, and BM25 (0: none of its
// words).
struct FusionCandidate {
  std::uint64_t row_id = 0;
  double cosine = 0;
  double keyword = 0;
  double fused = 0;  // filled in by the functions here
  bool operator==(const FusionCandidate&) const = default;
};

std::vector<std::uint64_t> row_ids(std::span<const FusionCandidate> candidates);

// Sum over both rankings of weight / (k + rank), rank from 1. A candidate without a keyword score
// gets nothing of that ranking. Source: Cormack, Clarke and Buettcher, Reciprocal Rank Fusion,
// 2009.
struct RankFusion {
  double k = 60;
  double vector_weight = FusionOptions::kRankVectorWeight;
};

// w * v + (1 - w) * s, both in [0, 1]: v is the cosine between the lowest and the highest of the
// candidates (0 where they are equal), s the keyword score over the most that any passage could
// have for this query (KeywordRanking::bound). So words count for little where the best passage has
// few of them, which the best score as the divisor would hide: with it no weight wins anywhere
// without losing elsewhere (DECISIONS.md). Source: Bruch, Gai and Ingber, An Analysis of Fusion
// Functions for Hybrid Retrieval, 2023 (convex combination, theoretical bounds).
struct WeightedFusion {
  double vector_weight = FusionOptions::kWeightedVectorWeight;  // about five to one
  double keyword_bound = 0;  // 0: the best score of the candidates
};

// Best first, with `fused` filled in. REQUIRES: row ids that differ, finite scores.
// Errors: kInvalidArgument (a weight outside 0 to 1, k not above 0, a bound below 0).
Result<std::vector<FusionCandidate>> fuse(std::vector<FusionCandidate> candidates,
                                          const RankFusion& how);
Result<std::vector<FusionCandidate>> fuse(std::vector<FusionCandidate> candidates,
                                          const WeightedFusion& how);

}  // namespace nestor::query
