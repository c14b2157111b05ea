#include "query/planner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "index/ladder_index.h"
#include "index/width_ladder.h"

namespace nestor::query {

namespace {

void plan_codes(const SearchOptions& options, int full_width, std::int64_t passages,
                std::int64_t wanted, const index::Calibration& calibration, Plan& plan) {
  const index::LadderShape shape = index::default_ladder_shape(full_width, true);
  index::LadderPlan measured =
      calibration.plan(shape, std::max<std::int64_t>(passages, 1), wanted, options.recall_target);
  plan.calibrated_on = calibration.row_count();
  if (options.candidate_count == 0) {
    plan.recall_target = options.recall_target;
  } else {
    measured.rank_count = std::max(options.candidate_count, wanted);
    measured.scan_count = std::max(measured.scan_count, 4 * measured.rank_count);
  }
  plan.codes = true;
  plan.coarse_width = shape.scan_width;
  plan.candidate_count = std::min(std::max(measured.rank_count, wanted), passages);
  plan.scan_count = std::min(std::max(measured.scan_count, plan.candidate_count), passages);
  plan.exact = plan.candidate_count >= passages;
}

}  // namespace

std::int64_t selected_hits(const SearchOptions& options) {
  return std::max(options.offset + options.k, options.rerank ? options.rerank_count : 0);
}

std::int64_t wanted_hits(const SearchOptions& options) {
  constexpr std::int64_t kSpareFactor = 8;
  // Of either search that are fused; measured (DECISIONS.md).
  constexpr std::int64_t kFusionDepth = 100;
  const bool drops = options.per_document > 0 || options.diversity_lambda < 1;
  const std::int64_t hits = selected_hits(options) * (drops ? kSpareFactor : 1);
  return drops || options.mode == SearchMode::kHybrid ? std::max(hits, kFusionDepth) : hits;
}

Result<Plan> make_plan(const SearchOptions& options, int full_width, bool matryoshka,
                       std::int64_t passages, const index::Calibration* calibration,
                       std::int64_t wanted) {
  if (wanted == 0) wanted = wanted_hits(options);
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
  const bool exact = options.exact || options.recall_target >= 1;
  if (matryoshka && options.coarse_width == 0 && !exact) {
    plan_codes(options, full_width, passages, wanted,
               calibration != nullptr ? *calibration : index::Calibration(), plan);
    return plan;
  }
  plan.coarse_width =
      exact ? plan.rerank_width
      : options.coarse_width != 0
          ? options.coarse_width
          : std::min(index::default_coarse_width(full_width, matryoshka), plan.rerank_width);
  if (plan.coarse_width > plan.rerank_width) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the coarse width {} is wider than the rerank width {}",
                              plan.coarse_width, plan.rerank_width));
  }
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

void deepen(Plan& plan, std::int64_t passages) {
  plan.scan_count = std::min(2 * plan.scan_count, passages);
  plan.candidate_count = std::min(2 * plan.candidate_count, passages);
  plan.exact = plan.candidate_count >= passages;
}

}  // namespace nestor::query
