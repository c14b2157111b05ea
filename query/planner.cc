#include "query/planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "index/width_ladder.h"

namespace nestor::query {

std::int64_t wanted_hits(const SearchOptions& options) {
  constexpr std::int64_t kSpareFactor = 8;
  // Of either search that are fused; measured (DECISIONS.md).
  constexpr std::int64_t kFusionDepth = 100;
  const bool drops = options.per_document > 0 || options.diversity_lambda < 1;
  const std::int64_t hits = (options.offset + options.k) * (drops ? kSpareFactor : 1);
  return drops || options.mode == SearchMode::kHybrid ? std::max(hits, kFusionDepth) : hits;
}

Result<Plan> make_plan(const SearchOptions& options, int full_width, bool matryoshka,
                       std::int64_t passages) {
  const std::vector<int> widths = index::ladder_widths(full_width, matryoshka);
  for (const int width : {options.coarse_width, options.rerank_width}) {
    if (width != 0 && std::find(widths.begin(), widths.end(), width) == widths.end()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("width {} is not one of this collection's: {}", width,
                                fmt::join(widths, ", ")));
    }
  }
  Plan plan;
  plan.rerank_width = options.rerank_width != 0 ? options.rerank_width : full_width;
  plan.coarse_width =
      options.coarse_width != 0
          ? options.coarse_width
          : std::min(index::default_coarse_width(full_width, matryoshka), plan.rerank_width);
  if (plan.coarse_width > plan.rerank_width) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the coarse width {} is wider than the rerank width {}",
                              plan.coarse_width, plan.rerank_width));
  }
  const std::int64_t wanted = wanted_hits(options);
  if (plan.coarse_width == plan.rerank_width) {
    plan.candidate_count = std::min(wanted, passages);
  } else {
    const std::int64_t candidates =
        options.candidate_count != 0
            ? options.candidate_count
            : index::default_candidate_count(plan.coarse_width, full_width, passages, wanted);
    plan.candidate_count = std::min(std::max(candidates, wanted), passages);
  }
  plan.exact = plan.coarse_width == plan.rerank_width || plan.candidate_count >= passages;
  return plan;
}

}  // namespace nestor::query
