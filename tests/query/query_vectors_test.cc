// Parts of a question into vectors: Rocchio's formula by hand, and scores of each metric.
#include "query/query_vectors.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

using namespace nestor;
using namespace nestor::query;

namespace {

using Parts = std::vector<Weighted<std::vector<float>>>;

std::vector<float> combined(const Parts& like, const Parts& unlike, double unlike_weight = 0.5,
                            Combination combination = Combination::kAll,
                            Metric metric = Metric::kCosine) {
  auto result = combine_parts(like, unlike, unlike_weight, combination, metric);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  return std::move(result).value();
}

void check_near(const std::vector<float>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-6));
}

}  // namespace

TEST_CASE("a single part stays as it is to the last bit, whatever its length") {
  CHECK(combined({{{0.3F, -7.1F, 1e-20F}, 5}}, {}) == std::vector<float>{0.3F, -7.1F, 1e-20F});
}

TEST_CASE("cosines: the weighted mean of directions less half of the mean to be away from") {
  // Lengths do not count: (3, 0, 0) and (0, .1, 0) are the first two axes.
  const double a = 2.0 / 3;
  const double b = 1.0 / 3;
  const double c = -0.5;
  const double length = std::sqrt(a * a + b * b + c * c);
  check_near(combined({{{3, 0, 0}, 2}, {{0, 0.1F, 0}, 1}}, {{{0, 0, 9}, 1}}),
             {a / length, b / length, c / length});
  // Two that are the same to be away from are one.
  check_near(combined({{{3, 0, 0}, 2}, {{0, 0.1F, 0}, 1}}, {{{0, 0, 9}, 1}, {{0, 0, 1}, 7}}),
             {a / length, b / length, c / length});
  check_near(combined({{{3, 0, 0}, 2}}, {{{0, 0, 9}, 1}}, 0), {1, 0, 0});
}

TEST_CASE("products and distances: vectors as they are, and a result of any length") {
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    check_near(combined({{{4, 0}, 1}, {{0, 2}, 3}}, {{{2, 2}, 1}}, 0.5, Combination::kAll, metric),
               {0, 0.5});
  }
}

TEST_CASE("best of the parts: a vector each, all turned away from the same") {
  const auto block = combined({{{2, 0}, 1}, {{0, 5}, 1}}, {{{0, 1}, 1}}, 0.5, Combination::kBest);
  const double length = std::sqrt(1.25);
  check_near(block, {1 / length, -0.5 / length, 0, 1});
  const auto parts = query_parts(block, 2);
  REQUIRE(parts.size() == 2);
  CHECK(parts[1][1] == 1.0F);
}

TEST_CASE("parts that cancel out are refused for cosines, and are the origin for distances") {
  const Parts like{{{1, 0}, 1}};
  const Parts unlike{{{2, 0}, 1}};
  CHECK(combine_parts(like, unlike, 1, Combination::kAll, Metric::kCosine).status().code() ==
        StatusCode::kInvalidArgument);
  check_near(combined(like, {{{1, 0}, 1}}, 1, Combination::kAll, Metric::kL2), {0, 0});
}

TEST_CASE("scores are cosine, inner product and minus the distance, the best over the parts") {
  const std::vector<float> block{3, 0, 0, 4};
  const std::vector<float> row{1, 1};
  CHECK(exact_score(Metric::kCosine, block, row) == doctest::Approx(std::sqrt(0.5)));
  CHECK(exact_score(Metric::kDot, block, row) == 4);
  CHECK(exact_score(Metric::kL2, block, row) == doctest::Approx(-std::sqrt(5.0)));
  CHECK_FALSE(std::signbit(exact_score(Metric::kL2, row, row)));
  CHECK(exact_score(Metric::kCosine, {}, row) == 0);
  CHECK(shown_score(Metric::kL2, -9.0) == -3);
  CHECK_FALSE(std::signbit(shown_score(Metric::kL2, -0.0)));
  CHECK(shown_score(Metric::kDot, -9.0) == -9);
}

TEST_CASE("of two lists each id stands once with its better score, best first, ties by lower id") {
  using List = std::vector<index::Candidate>;
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    List lists[2];
    std::map<std::uint64_t, float> best;
    for (List& list : lists) {
      for (std::uint64_t id = 0; id < 20; ++id) {
        if (random() % 3 == 0) continue;
        const float score = static_cast<float>(random() % 5) - 2;
        list.push_back({id, score});
        best.emplace(id, score);
        best[id] = std::max(best[id], score);
      }
      std::shuffle(list.begin(), list.end(), random);
    }
    const List both = best_of_each(lists[0], lists[1]);
    CHECK(both.size() == best.size());
    for (std::size_t i = 0; i < both.size(); ++i) {
      CHECK(both[i].score == best.at(both[i].id));
      if (i == 0) continue;
      CHECK((both[i - 1].score > both[i].score ||
             (both[i - 1].score == both[i].score && both[i - 1].id < both[i].id)));
    }
  }
}
