#include "query/fusion.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/macros.h"

namespace nestor::query {
namespace {

using Candidates = std::vector<FusionCandidate>;

Status check_weight(double weight) {
  if (weight >= 0 && weight <= 1) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("a weight of {} for vectors; expected 0 (words alone) to 1 (vectors alone)",
                      weight)};
}

void sort_by(Candidates& candidates, double FusionCandidate::*score) {
  std::sort(candidates.begin(), candidates.end(),
            [score](const FusionCandidate& a, const FusionCandidate& b) {
              return a.*score != b.*score ? a.*score > b.*score : a.row_id < b.row_id;
            });
}

}  // namespace

std::vector<std::uint64_t> row_ids(std::span<const FusionCandidate> candidates) {
  std::vector<std::uint64_t> ids;
  ids.reserve(candidates.size());
  for (const FusionCandidate& one : candidates) ids.push_back(one.row_id);
  return ids;
}

Result<Candidates> fuse(Candidates candidates, const RankFusion& how) {
  NESTOR_RETURN_IF_ERROR(check_weight(how.vector_weight));
  if (!(how.k > 0)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("k of the rank fusion is {}; expected more than 0", how.k));
  }
  sort_by(candidates, &FusionCandidate::cosine);
  double rank = 0;
  for (FusionCandidate& candidate : candidates)
    candidate.fused = how.vector_weight / (how.k + ++rank);
  sort_by(candidates, &FusionCandidate::keyword);
  rank = 0;
  for (FusionCandidate& candidate : candidates) {
    if (candidate.keyword <= 0) break;
    candidate.fused += (1 - how.vector_weight) / (how.k + ++rank);
  }
  sort_by(candidates, &FusionCandidate::fused);
  return candidates;
}

Result<Candidates> fuse(Candidates candidates, const WeightedFusion& how) {
  NESTOR_RETURN_IF_ERROR(check_weight(how.vector_weight));
  if (!(how.keyword_bound >= 0)) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("the bound of keyword scores is {}; expected 0 or more", how.keyword_bound));
  }
  if (candidates.empty()) return candidates;
  const auto [worst, best] = std::minmax_element(
      candidates.begin(), candidates.end(),
      [](const FusionCandidate& a, const FusionCandidate& b) { return a.cosine < b.cosine; });
  const double least = worst->cosine;
  const double spread = best->cosine - least;
  double most_keyword = how.keyword_bound;
  if (most_keyword == 0) {
    for (const FusionCandidate& candidate : candidates)
      most_keyword = std::max(most_keyword, candidate.keyword);
  }
  for (FusionCandidate& candidate : candidates) {
    const double vector = spread > 0 ? (candidate.cosine - least) / spread : 0;
    const double keyword = most_keyword > 0 ? candidate.keyword / most_keyword : 0;
    candidate.fused = how.vector_weight * vector + (1 - how.vector_weight) * keyword;
  }
  sort_by(candidates, &FusionCandidate::fused);
  return candidates;
}

}  // namespace nestor::query
