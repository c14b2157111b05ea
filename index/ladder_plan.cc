// The measured defaults of LadderIndex: index/CODES.md, benchmarks/ladder_benchmark.cc.
#include <algorithm>

#include "index/ladder_index.h"

namespace nestor::index {
namespace {

constexpr int kScanWidth = 256;

}  // namespace

LadderShape default_ladder_shape(int full_width, bool matryoshka) {
  if (matryoshka && full_width > kScanWidth) {
    return {.width = full_width, .bits = 1, .scan_width = kScanWidth};
  }
  return {.width = full_width, .bits = 2, .scan_width = full_width};
}

LadderPlan default_ladder_plan(const LadderShape& shape, std::int64_t row_count, std::int64_t k) {
  struct Line {
    std::int64_t most_rows;
    LadderPlan plan;
  };
  constexpr Line kLines[] = {{25'000, {800, 100}},
                             {200'000, {1600, 100}},
                             {700'000, {3200, 150}},
                             {1'500'000, {4800, 200}},
                             {INT64_MAX, {9600, 400}}};
  LadderPlan plan;
  for (const Line& line : kLines) {
    plan = line.plan;
    if (row_count <= line.most_rows) break;
  }
  // Measured for the best ten; deeper lists need as many more.
  const std::int64_t deeper = std::max<std::int64_t>(k - 10, 0);
  plan.rank_count += 4 * deeper;
  plan.scan_count += 16 * deeper;
  if (shape.scan_width == shape.width) plan.scan_count = plan.rank_count;
  return plan;
}

}  // namespace nestor::index
