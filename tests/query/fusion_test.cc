#include "query/fusion.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace nestor::query {
namespace {

std::vector<std::uint64_t> ids_of(const std::vector<FusionCandidate>& candidates) {
  std::vector<std::uint64_t> ids;
  for (const FusionCandidate& candidate : candidates) ids.push_back(candidate.row_id);
  return ids;
}

const std::vector<FusionCandidate> kCandidates = {
    {.row_id = 1, .cosine = 0.9, .keyword = 0},
    {.row_id = 2, .cosine = 0.8, .keyword = 5},
    {.row_id = 3, .cosine = 0.1, .keyword = 10},
};

}  // namespace

TEST_CASE("rank fusion adds the reciprocal ranks and leaves both scores as they were") {
  const auto fused = fuse(kCandidates, RankFusion{.k = 60, .vector_weight = 0.5});
  REQUIRE(fused.ok());
  CHECK(ids_of(fused.value()) == std::vector<std::uint64_t>{3, 2, 1});
  CHECK(fused.value()[0].fused == doctest::Approx(0.5 / 63 + 0.5 / 61));
  CHECK(fused.value()[1].fused == doctest::Approx(0.5 / 62 + 0.5 / 62));
  CHECK(fused.value()[2].fused == doctest::Approx(0.5 / 61));
  CHECK(fused.value()[1].cosine == 0.8);
  CHECK(fused.value()[1].keyword == 5);
}

TEST_CASE("weighted fusion scales each score by its candidates") {
  const auto fused = fuse(kCandidates, WeightedFusion{.vector_weight = 0.5});
  REQUIRE(fused.ok());
  CHECK(ids_of(fused.value()) == std::vector<std::uint64_t>{2, 1, 3});
  CHECK(fused.value()[0].fused == doctest::Approx(0.5 * 0.7 / 0.8 + 0.5 * 0.5));
  CHECK(fused.value()[1].fused == doctest::Approx(0.5));
  CHECK(fused.value()[2].fused == doctest::Approx(0.5));
}

TEST_CASE("words count by how much of the query the passage could have had") {
  const auto fused = fuse(kCandidates, WeightedFusion{.vector_weight = 0.5, .keyword_bound = 100});
  REQUIRE(fused.ok());
  CHECK(ids_of(fused.value()) == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(fused.value()[2].fused == doctest::Approx(0.5 * 0.1));
  CHECK(fuse(kCandidates, WeightedFusion{.vector_weight = 0.5, .keyword_bound = -1})
            .status()
            .code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a weight of 1 is the order of the vectors, of 0 that of the words") {
  for (const double weight : {0.0, 1.0}) {
    const auto by_weight = fuse(kCandidates, WeightedFusion{.vector_weight = weight});
    const auto by_rank = fuse(kCandidates, RankFusion{.k = 60, .vector_weight = weight});
    const std::vector<std::uint64_t> expected =
        weight == 1 ? std::vector<std::uint64_t>{1, 2, 3} : std::vector<std::uint64_t>{3, 2, 1};
    CHECK(ids_of(by_weight.value()) == expected);
    CHECK(ids_of(by_rank.value()) == expected);
  }
}

TEST_CASE("the order of the input does not matter and ties go to the lower row id") {
  std::mt19937_64 random(11);
  std::vector<FusionCandidate> candidates;
  for (std::uint64_t id = 1; id <= 60; ++id) {
    candidates.push_back({.row_id = id,
                          .cosine = static_cast<double>(random() % 4) / 4,
                          .keyword = static_cast<double>(random() % 3)});
  }
  const auto ranks = fuse(candidates, RankFusion{}).value();
  const auto weights = fuse(candidates, WeightedFusion{}).value();
  for (int round = 0; round < 20; ++round) {
    std::shuffle(candidates.begin(), candidates.end(), random);
    CHECK(fuse(candidates, RankFusion{}).value() == ranks);
    CHECK(fuse(candidates, WeightedFusion{}).value() == weights);
  }
  for (std::size_t i = 1; i < weights.size(); ++i) {
    CHECK(weights[i - 1].fused >= weights[i].fused);
    if (weights[i - 1].fused == weights[i].fused) CHECK(weights[i - 1].row_id < weights[i].row_id);
  }
}

TEST_CASE("nothing, one candidate and equal scores are no trouble; wrong weights are refused") {
  CHECK(fuse(std::vector<FusionCandidate>(), WeightedFusion{}).value().empty());
  CHECK(fuse(std::vector<FusionCandidate>(), RankFusion{}).value().empty());
  const std::vector<FusionCandidate> one = {{.row_id = 7, .cosine = -1, .keyword = 0}};
  CHECK(fuse(one, WeightedFusion{}).value()[0].fused == 0);
  CHECK(fuse(one, WeightedFusion{.vector_weight = 1.5}).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(fuse(one, RankFusion{.k = 0}).status().code() == StatusCode::kInvalidArgument);
  CHECK(fuse(one, RankFusion{.k = 60, .vector_weight = -1}).status().code() ==
        StatusCode::kInvalidArgument);
}

}  // namespace nestor::query
