#include "query/planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "index/width_ladder.h"

namespace nestor::query {

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
  if (plan.coarse_width == plan.rerank_width) {
    plan.candidate_count = std::min(options.k, passages);
  } else {
    const std::int64_t wanted =
        options.candidate_count != 0
            ? options.candidate_count
            : index::default_candidate_count(plan.coarse_width, full_width, passages, options.k);
    plan.candidate_count = std::min(std::max(wanted, options.k), passages);
  }
  plan.exact = plan.coarse_width == plan.rerank_width || plan.candidate_count >= passages;
  return plan;
}

}  // namespace nestor::query
