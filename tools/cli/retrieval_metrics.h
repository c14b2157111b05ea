// How good a ranking is, by trec_eval's definitions: nDCG with linear gains and a log2(rank + 1)
// discount, recall, reciprocal rank. A judgment above 0 is relevant. Threads: free functions and
// values, safe anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace nestor::cli {

// Document key to judgment, of one query.
using Judgments = std::map<std::string, int, std::less<>>;

// Sum of gain / log2(rank + 1) over the first `cut` of `ranking`, divided by that of the best
// ranking there could be; 0 where nothing is relevant. Source: Jarvelin and Kekalainen 2002, as in
// trec_eval's ndcg_cut.
double ndcg_at(const std::vector<std::string>& ranking, const Judgments& judgments,
               std::size_t cut);
// The part of all relevant documents that is among the first `cut`; 0 where nothing is relevant.
double recall_at(const std::vector<std::string>& ranking, const Judgments& judgments,
                 std::size_t cut);
// 1 / rank of the first relevant document among the first `cut`, else 0.
double reciprocal_rank_at(const std::vector<std::string>& ranking, const Judgments& judgments,
                          std::size_t cut);

// Means over queries of the figures people publish.
struct RetrievalScores {
  double ndcg_at_10 = 0;
  double recall_at_10 = 0;
  double recall_at_100 = 0;
  double mrr_at_10 = 0;
};

// Gathers one ranking a query and averages them.
class ScoreAverage {
 public:
  void add(const std::vector<std::string>& ranking, const Judgments& judgments);
  // All 0 before the first ranking.
  [[nodiscard]] RetrievalScores mean() const;
  [[nodiscard]] std::int64_t query_count() const { return query_count_; }

 private:
  RetrievalScores sum_;
  std::int64_t query_count_ = 0;
};

// The part of an exact search's best hits that another plan found, by score: a hit counts when its
// exact score reaches the lowest of `exact`, so that of several passages with one score any will
// do. Both best first or not. 1 where `exact` is empty.
double recall_against_exact(const std::vector<double>& found, const std::vector<double>& exact);

}  // namespace nestor::cli
