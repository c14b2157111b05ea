#include "tools/cli/retrieval_metrics.h"

#include <doctest/doctest.h>

#include <cmath>

using nestor::cli::Judgments;

namespace {

// Two rankings with figures worked out by hand and confirmed with pytrec_eval-terrier 0.5.11.
const Judgments kGraded = {{"a", 3}, {"b", 2}, {"c", 1}, {"d", 0}};
const std::vector<std::string> kRanking = {"x", "b", "d", "a", "y"};

}  // namespace

TEST_CASE("nDCG has linear gains and a log2 discount") {
  const double reached = 2 / std::log2(3.0) + 3 / std::log2(5.0);
  const double best = 3 + 2 / std::log2(3.0) + 1 / std::log2(4.0);
  CHECK(nestor::cli::ndcg_at(kRanking, kGraded, 10) == doctest::Approx(reached / best));
  CHECK(nestor::cli::ndcg_at(kRanking, kGraded, 10) == doctest::Approx(0.536322).epsilon(1e-5));
  CHECK(nestor::cli::ndcg_at({"a", "b", "c"}, kGraded, 10) == doctest::Approx(1));
}

TEST_CASE("nDCG cuts the ranking and the best ranking at the same place") {
  CHECK(nestor::cli::ndcg_at({"b", "a"}, kGraded, 1) == doctest::Approx(2.0 / 3.0));
  CHECK(nestor::cli::ndcg_at({"x", "a"}, kGraded, 1) == 0);
}

TEST_CASE("recall counts relevant documents only, and all of them") {
  CHECK(nestor::cli::recall_at(kRanking, kGraded, 10) == doctest::Approx(2.0 / 3.0));
  CHECK(nestor::cli::recall_at(kRanking, kGraded, 2) == doctest::Approx(1.0 / 3.0));
  CHECK(nestor::cli::recall_at({"d"}, kGraded, 10) == 0);
}

TEST_CASE("the reciprocal rank is that of the first relevant document within the cut") {
  CHECK(nestor::cli::reciprocal_rank_at(kRanking, kGraded, 10) == doctest::Approx(0.5));
  CHECK(nestor::cli::reciprocal_rank_at({"d", "x", "c"}, kGraded, 10) ==
        doctest::Approx(1.0 / 3.0));
  CHECK(nestor::cli::reciprocal_rank_at({"d", "x", "c"}, kGraded, 2) == 0);
}

TEST_CASE("a query with nothing relevant scores 0 and not NaN") {
  const Judgments nothing = {{"a", 0}, {"b", -1}};
  CHECK(nestor::cli::ndcg_at({"a", "b"}, nothing, 10) == 0);
  CHECK(nestor::cli::recall_at({"a", "b"}, nothing, 10) == 0);
  CHECK(nestor::cli::reciprocal_rank_at({"a", "b"}, nothing, 10) == 0);
}

TEST_CASE("an empty ranking is counted in the mean") {
  nestor::cli::ScoreAverage average;
  CHECK(average.mean().ndcg_at_10 == 0);
  average.add({"a"}, {{"a", 1}});
  average.add({}, {{"a", 1}});
  CHECK(average.query_count() == 2);
  CHECK(average.mean().ndcg_at_10 == doctest::Approx(0.5));
  CHECK(average.mean().recall_at_10 == doctest::Approx(0.5));
  CHECK(average.mean().recall_at_100 == doctest::Approx(0.5));
  CHECK(average.mean().mrr_at_10 == doctest::Approx(0.5));
}

TEST_CASE("recall@100 sees what recall@10 does not") {
  std::vector<std::string> ranking;
  for (int i = 0; i < 50; ++i) ranking.push_back("x" + std::to_string(i));
  ranking.emplace_back("a");
  nestor::cli::ScoreAverage average;
  average.add(ranking, {{"a", 1}});
  CHECK(average.mean().recall_at_10 == 0);
  CHECK(average.mean().recall_at_100 == 1);
}

TEST_CASE("against exact search, equal scores count whichever passage they belong to") {
  CHECK(nestor::cli::recall_against_exact({0.9, 0.8, 0.7}, {0.9, 0.8, 0.7}) == 1);
  CHECK(nestor::cli::recall_against_exact({0.9, 0.7 + 1e-9, 0.7}, {0.9, 0.7, 0.7}) == 1);
  CHECK(nestor::cli::recall_against_exact({0.9, 0.7, 0.6}, {0.9, 0.8, 0.7}) ==
        doctest::Approx(2.0 / 3.0));
  CHECK(nestor::cli::recall_against_exact({}, {0.9}) == 0);
  CHECK(nestor::cli::recall_against_exact({}, {}) == 1);
}
