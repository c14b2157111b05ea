#include "tools/cli/retrieval_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace nestor::cli {
namespace {

// Scores of the same pair of vectors from two searches may differ in their last bits.
constexpr double kSameScore = 1e-6;

double discount(std::size_t index) { return 1.0 / std::log2(static_cast<double>(index) + 2.0); }

int judgment_of(const Judgments& judgments, const std::string& key) {
  const auto found = judgments.find(key);
  return found == judgments.end() ? 0 : std::max(found->second, 0);
}

std::size_t relevant_count(const Judgments& judgments) {
  return static_cast<std::size_t>(std::count_if(judgments.begin(), judgments.end(),
                                                [](const auto& one) { return one.second > 0; }));
}

}  // namespace

double ndcg_at(const std::vector<std::string>& ranking, const Judgments& judgments,
               std::size_t cut) {
  std::vector<int> gains;
  for (const auto& [key, judgment] : judgments) {
    if (judgment > 0) gains.push_back(judgment);
  }
  if (gains.empty()) return 0;
  std::sort(gains.begin(), gains.end(), std::greater<>());
  double best = 0;
  for (std::size_t i = 0; i < std::min(cut, gains.size()); ++i) best += gains[i] * discount(i);
  double reached = 0;
  for (std::size_t i = 0; i < std::min(cut, ranking.size()); ++i) {
    reached += judgment_of(judgments, ranking[i]) * discount(i);
  }
  return reached / best;
}

double recall_at(const std::vector<std::string>& ranking, const Judgments& judgments,
                 std::size_t cut) {
  const std::size_t relevant = relevant_count(judgments);
  if (relevant == 0) return 0;
  std::size_t found = 0;
  for (std::size_t i = 0; i < std::min(cut, ranking.size()); ++i) {
    if (judgment_of(judgments, ranking[i]) > 0) ++found;
  }
  return static_cast<double>(found) / static_cast<double>(relevant);
}

double reciprocal_rank_at(const std::vector<std::string>& ranking, const Judgments& judgments,
                          std::size_t cut) {
  for (std::size_t i = 0; i < std::min(cut, ranking.size()); ++i) {
    if (judgment_of(judgments, ranking[i]) > 0) return 1.0 / static_cast<double>(i + 1);
  }
  return 0;
}

void ScoreAverage::add(const std::vector<std::string>& ranking, const Judgments& judgments) {
  sum_.ndcg_at_10 += ndcg_at(ranking, judgments, 10);
  sum_.recall_at_10 += recall_at(ranking, judgments, 10);
  sum_.recall_at_100 += recall_at(ranking, judgments, 100);
  sum_.mrr_at_10 += reciprocal_rank_at(ranking, judgments, 10);
  ++query_count_;
}

RetrievalScores ScoreAverage::mean() const {
  if (query_count_ == 0) return {};
  const auto count = static_cast<double>(query_count_);
  return {.ndcg_at_10 = sum_.ndcg_at_10 / count,
          .recall_at_10 = sum_.recall_at_10 / count,
          .recall_at_100 = sum_.recall_at_100 / count,
          .mrr_at_10 = sum_.mrr_at_10 / count};
}

double recall_against_exact(const std::vector<double>& found, const std::vector<double>& exact) {
  if (exact.empty()) return 1;
  const double lowest = *std::min_element(exact.begin(), exact.end());
  const auto reached = static_cast<std::size_t>(std::count_if(
      found.begin(), found.end(), [&](double score) { return score >= lowest - kSameScore; }));
  return static_cast<double>(std::min(reached, exact.size())) / static_cast<double>(exact.size());
}

}  // namespace nestor::cli
