// How fast is a search, and what does a plan lose? Latency and recall@10 of plans against the exact
// search, over 10,000 to 100,000 made-up rows of width 768, through the whole database (rows and
// texts come from disk). The rows are clustered noise: recall is comparable between plans and
// commits, not with real text; `nestor eval` has that. Some minutes.
#include "benchmarks/benchmark_support.h"
#include "benchmarks/row_encoder.h"
#include "query/open_database.h"

namespace {

using nestor::benchmark::must;
using nestor::benchmark::quantile;
using nestor::benchmark::rounded;
using nestor::benchmark::seconds_of;

constexpr int kWidth = 768;
constexpr std::size_t kQueries = 200;
constexpr std::size_t kWarmingQueries = 5;
constexpr std::size_t kBatch = 1000;
constexpr std::uint64_t kSeed = 7;
constexpr std::size_t kStride = 7'919;

struct PlanUnderTest {
  int coarse_width;
  int rerank_width;
  std::int64_t candidate_count;  // 0: the planner's
};

struct Measured {
  std::vector<double> seconds;
  std::vector<std::vector<std::string>> keys;  // the best 10, a query
  nestor::Explanation explain;
};

Measured run_plan(const nestor::Database& database, const std::vector<float>& queries,
                  const PlanUnderTest& plan, std::size_t query_count = kQueries) {
  Measured measured;
  for (std::size_t i = 0; i < query_count; ++i) {
    nestor::SearchOptions options;
    options.coarse_width = plan.coarse_width;
    options.rerank_width = plan.rerank_width;
    options.candidate_count = plan.candidate_count;
    nestor::SearchResult found;
    measured.seconds.push_back(seconds_of([&] {
      found = must(database.search_vector({queries.data() + i * kWidth, kWidth}, options));
    }));
    std::vector<std::string> keys;
    for (const nestor::Hit& hit : found.hits) keys.push_back(hit.key);
    measured.keys.push_back(std::move(keys));
    measured.explain = found.explain;
  }
  return measured;
}

double recall(const Measured& plan, const Measured& exact) {
  std::size_t found = 0;
  std::size_t all = 0;
  for (std::size_t i = 0; i < kQueries; ++i) {
    for (const std::string& key : exact.keys[i]) {
      found += static_cast<std::size_t>(std::count(plan.keys[i].begin(), plan.keys[i].end(), key));
    }
    all += exact.keys[i].size();
  }
  return static_cast<double>(found) / static_cast<double>(all);
}

// Rows, each moved a little: a question is near what answers it.
std::vector<float> questions(const std::vector<float>& rows, std::size_t row_count) {
  std::vector<float> moved = nestor::benchmark::clustered_rows(kQueries, kWidth, kSeed + 1);
  for (std::size_t i = 0; i < kQueries; ++i) {
    const float* const near = rows.data() + (i * row_count / kQueries) * kWidth;
    for (std::size_t j = 0; j < kWidth; ++j) moved[i * kWidth + j] += near[j];
  }
  return moved;
}

// The planner's own plan under filters that leave a share of the rows, in turns with no filter.
nlohmann::ordered_json measure_filters(const nestor::Database& database,
                                       const std::vector<float>& queries, std::size_t row_count) {
  constexpr double kShares[] = {1, .5, .1, .01, .001, 0};
  std::vector<std::vector<double>> seconds(std::size(kShares));
  std::vector<nestor::Explanation> explain(std::size(kShares));
  for (std::size_t i = 0; i < kWarmingQueries + kQueries; ++i) {
    for (std::size_t s = 0; s < std::size(kShares); ++s) {
      nestor::SearchOptions options;
      if (kShares[s] < 1) {
        const auto most = static_cast<std::int64_t>(kShares[s] * static_cast<double>(row_count));
        options.filter = must(nestor::Filter::parse(fmt::format("n <= {}", most)));
      }
      const auto query = std::span(queries).subspan(i % kQueries * kWidth, kWidth);
      const double passed =
          seconds_of([&] { explain[s] = must(database.search_vector(query, options)).explain; });
      if (i >= kWarmingQueries) seconds[s].push_back(passed);
    }
  }
  nlohmann::ordered_json shares = nlohmann::ordered_json::array();
  for (std::size_t s = 0; s < std::size(kShares); ++s) {
    shares.push_back(
        {{"share", kShares[s]},
         {"matching", explain[s].matching},
         {"candidates", explain[s].candidate_count},
         {"filter_ms", rounded(1e3 * explain[s].filter_seconds)},
         {"coarse_ms", rounded(1e3 * explain[s].coarse_seconds)},
         {"p50_ms", rounded(1e3 * quantile(seconds[s], 0.5))},
         {"of_unfiltered", rounded(quantile(seconds[s], 0.5) / quantile(seconds[0], 0.5))}});
  }
  return shares;
}

nlohmann::ordered_json measure_size(std::size_t row_count) {
  const nestor::benchmark::ScratchFolder folder;
  const std::vector<float> rows = nestor::benchmark::clustered_rows(row_count, kWidth, kSeed);
  const std::vector<float> queries = questions(rows, row_count);
  const auto encoder = std::make_shared<const nestor::benchmark::RowEncoder>(rows, kWidth);
  nestor::Database database = must(nestor::query::open_database(folder / "database", {}, [encoder] {
    return nestor::Result<nestor::query::EncoderPointer>(encoder);
  }));
  const double build_seconds = seconds_of([&] {
    for (std::size_t begin = 0; begin < row_count; begin += kBatch) {
      std::vector<nestor::Document> batch;
      for (std::size_t i = begin; i < std::min(begin + kBatch, row_count); ++i) {
        // A permutation, so that a range of values is no range of rows.
        const auto mixed = static_cast<std::int64_t>(i * kStride % row_count);
        batch.push_back(
            {.key = std::to_string(i), .text = std::to_string(i), .metadata = {{"n", mixed}}});
      }
      nestor::AddOptions options;
      options.split.enabled = false;
      must(database.add(batch, options));
    }
  });
  Measured exact;
  nlohmann::ordered_json plans = nlohmann::ordered_json::array();
  for (const PlanUnderTest& plan :
       {PlanUnderTest{768, 768, 0}, PlanUnderTest{0, 0, 0}, PlanUnderTest{128, 768, 0},
        PlanUnderTest{128, 768, 100}, PlanUnderTest{256, 768, 0}}) {
    // The first questions build the rung of that width and warm the caches.
    run_plan(database, queries, plan, kWarmingQueries);
    const Measured measured = run_plan(database, queries, plan);
    if (plan.coarse_width == kWidth) exact = measured;
    plans.push_back({{"plan", fmt::format("{},{}", plan.coarse_width, plan.rerank_width)},
                     {"candidates", measured.explain.candidate_count},
                     {"exact", measured.explain.exact_count},
                     {"coarse_ms", rounded(1e3 * measured.explain.coarse_seconds)},
                     {"rerank_ms", rounded(1e3 * measured.explain.rerank_seconds)},
                     {"fetch_ms", rounded(1e3 * measured.explain.fetch_seconds)},
                     {"p50_ms", rounded(1e3 * quantile(measured.seconds, 0.5))},
                     {"p95_ms", rounded(1e3 * quantile(measured.seconds, 0.95))},
                     {"recall@10_vs_exact", rounded(recall(measured, exact))}});
  }
  const nlohmann::ordered_json filters = measure_filters(database, queries, row_count);
  must(database.close());
  return {{"rows", row_count},
          {"build_seconds", rounded(build_seconds)},
          {"plans", plans},
          {"filters", filters}};
}

}  // namespace

int main() {
  nlohmann::ordered_json sizes = nlohmann::ordered_json::array();
  for (const std::size_t row_count :
       {std::size_t{10'000}, std::size_t{25'000}, std::size_t{100'000}}) {
    sizes.push_back(measure_size(row_count));
  }
  nestor::benchmark::report(
      "search", {{"width", kWidth}, {"queries", kQueries}, {"k", 10}, {"sizes", sizes}});
  return 0;
}
