#include "index/reranker.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/vector_math.h"
#include "tests/index/random_rows.h"

namespace nestor::index {
namespace {

using nestor::testing::MemorySource;
using nestor::testing::RandomRows;

TEST_CASE("a rerank equals sorting all candidates by their cosine, equal ones by id") {
  RandomRows random(testing::test_seed("reranker"));
  for (int round = 0; round < 60; ++round) {
    const std::int64_t row_count = 1 + random.below(700);
    const int full_width = static_cast<int>(1 + random.below(40));
    const int width = static_cast<int>(1 + random.below(full_width));
    const auto ids = random.ids(row_count);
    MemorySource source;
    source.put(ids, random.coarse_grained(row_count, full_width));
    const auto query = random.coarse_grained(1, full_width);
    const std::span<const float> prefix(query.data(), static_cast<std::size_t>(width));
    std::vector<Candidate> expected;
    for (const std::uint64_t id : ids) {
      const std::span<const float> row(source.rows[id].data(), static_cast<std::size_t>(width));
      const double lengths = std::sqrt(dot(row, row) * dot(prefix, prefix));
      expected.push_back({id, lengths > 0 ? static_cast<float>(dot(prefix, row) / lengths) : 0});
    }
    std::stable_sort(expected.begin(), expected.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    auto shuffled = ids;
    for (std::size_t i = shuffled.size(); i > 1; --i) {
      std::swap(shuffled[i - 1],
                shuffled[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(i)))]);
    }
    const std::int64_t count = random.below(row_count + 10);
    const auto found = rerank(source, query, width, shuffled, count);
    REQUIRE(found.ok());
    REQUIRE(found.value().size() == static_cast<std::size_t>(std::min(count, row_count)));
    for (std::size_t i = 0; i < found.value().size(); ++i) {
      CHECK(found.value()[i].id == expected[i].id);
      CHECK(found.value()[i].score == expected[i].score);
    }
  }
}

TEST_CASE("inner products and distances rank rows as they are, exactly") {
  RandomRows random(testing::test_seed("reranker metrics"));
  const auto ids = random.ids(300);
  const auto rows = random.coarse_grained(300, 20);
  MemorySource source;
  source.put(ids, rows);
  const auto query = random.coarse_grained(1, 20);
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    std::vector<Candidate> expected;
    for (const std::uint64_t id : ids) {
      double sum = 0;
      for (std::size_t d = 0; d < 20; ++d) {
        const double value = source.rows[id][d];
        sum += metric == Metric::kDot ? query[d] * value : -(query[d] - value) * (query[d] - value);
      }
      expected.push_back({id, static_cast<float>(sum)});
    }
    std::stable_sort(expected.begin(), expected.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    const auto found = rerank(source, query, 20, ids, 50, metric);
    REQUIRE(found.ok());
    REQUIRE(found.value().size() == 50);
    for (std::size_t i = 0; i < 50; ++i) {
      CHECK(found.value()[i].score == doctest::Approx(expected[i].score).epsilon(1e-6));
    }
  }
}

TEST_CASE("a rerank stops between blocks when it is asked to, and at its deadline") {
  RandomRows random(testing::test_seed("reranker stop"));
  const auto ids = random.ids(600);
  MemorySource source;
  source.put(ids, random.gaussian(600, 8));
  const std::vector<float> query(8, 1);
  std::stop_source stop;
  CHECK(rerank(source, query, 8, ids, 5, Metric::kCosine, stop.get_token()).ok());
  stop.request_stop();
  CHECK(rerank(source, query, 8, ids, 5, Metric::kCosine, stop.get_token()).status().code() ==
        StatusCode::kCancelled);
  const StopCheck past({}, std::chrono::steady_clock::now());
  CHECK(rerank(source, query, 8, ids, 5, Metric::kCosine, past).status().code() ==
        StatusCode::kDeadlineExceeded);
}

TEST_CASE("the score of a row with itself is 1 at every width") {
  RandomRows random(testing::test_seed("reranker self"));
  MemorySource source;
  const auto row = random.gaussian(1, 768);
  const std::vector<std::uint64_t> ids = {42};
  source.put(ids, row);
  for (const int width : {768, 512, 256, 128}) {
    const auto found = rerank(source, row, width, ids, 1);
    REQUIRE(found.ok());
    CHECK(found.value()[0].score == doctest::Approx(1.0).epsilon(1e-7));
  }
}

TEST_CASE("no candidates give no hits") {
  CHECK(rerank(MemorySource(), std::vector<float>{1}, 1, {}, 10).value().empty());
}

TEST_CASE("a row that the source does not have is the source's error") {
  const std::vector<std::uint64_t> ids = {1};
  const auto found = rerank(MemorySource(), std::vector<float>{1}, 1, ids, 1);
  CHECK(found.status().code() == StatusCode::kNotFound);
}

TEST_CASE("bad queries are refused and a row that is not finite is data loss") {
  MemorySource source;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::uint64_t> ids = {1};
  source.put(ids, std::vector<float>{nan, 1});
  const std::vector<float> query = {1, 1};
  CHECK(rerank(source, query, 2, ids, 1).status().code() == StatusCode::kDataLoss);
  CHECK(rerank(source, query, 3, ids, 1).status().code() == StatusCode::kInvalidArgument);
  CHECK(rerank(source, std::vector<float>{nan}, 1, ids, 1).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(rerank(source, query, 2, ids, -1).status().code() == StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace nestor::index
