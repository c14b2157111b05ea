#include "query/query_vectors.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

#include "core/vector_math.h"
#include "index/top_candidates.h"

namespace nestor::query {
namespace {

using Parts = std::span<const Weighted<std::vector<float>>>;
using Sum = std::vector<double>;

// The weighted mean of the parts times `factor`, added on.
void add_mean(Parts parts, double factor, bool unit, Sum& sum) {
  double weights = 0;
  for (const auto& part : parts) weights += part.weight;
  for (const auto& [vector, weight] : parts) {
    const double length = unit ? std::sqrt(dot(vector, vector)) : 1;
    if (length == 0) continue;
    const double scale = factor * (weight / weights) / length;
    for (std::size_t i = 0; i < vector.size(); ++i) sum[i] += scale * vector[i];
  }
}

// Less than the rounding of a few unit vectors is nothing at all.
constexpr double kLeastLength = 1e-6;

Status append_vector(Sum sum, bool unit, std::vector<float>& block) {
  if (unit) {
    double square = 0;
    for (const double value : sum) square += value * value;
    const double length = std::sqrt(square);
    if (length < kLeastLength) {
      return {StatusCode::kInvalidArgument,
              "the parts of the question cancel out and leave nothing to search for; change a "
              "weight, or leave a part out"};
    }
    for (double& value : sum) value /= length;
  }
  for (const double value : sum) block.push_back(static_cast<float>(value));
  return {};
}

double score(Metric metric, std::span<const float> query, std::span<const float> row) {
  if (metric == Metric::kDot) return dot(query, row);
  if (metric == Metric::kL2) {
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const double difference = static_cast<double>(query[i]) - row[i];
      sum += difference * difference;
    }
    return 0 - std::sqrt(sum);
  }
  const double lengths = std::sqrt(dot(query, query) * dot(row, row));
  return lengths > 0 ? std::clamp(dot(query, row) / lengths, -1.0, 1.0) : 0.0;
}

}  // namespace

Result<std::vector<float>> combine_parts(Parts like, Parts unlike, double unlike_weight,
                                         Combination combination, Metric metric) {
  const bool unit = metric == Metric::kCosine;
  const std::size_t group = combination == Combination::kBest ? 1 : like.size();
  std::vector<float> block;
  if (group == 1 && unlike.empty()) {
    for (const auto& part : like) block.insert(block.end(), part.value.begin(), part.value.end());
    return block;
  }
  for (std::size_t first = 0; first < like.size(); first += group) {
    Sum sum(like[0].value.size(), 0.0);
    add_mean(like.subspan(first, group), 1, unit, sum);
    add_mean(unlike, -unlike_weight, unit, sum);
    if (Status status = append_vector(std::move(sum), unit, block); !status.ok()) return status;
  }
  return block;
}

std::vector<std::span<const float>> query_parts(std::span<const float> block, int width) {
  std::vector<std::span<const float>> parts;
  const auto floats = static_cast<std::size_t>(width);
  for (std::size_t first = 0; floats > 0 && first + floats <= block.size(); first += floats)
    parts.push_back(block.subspan(first, floats));
  return parts;
}

std::vector<index::Candidate> best_of_each(std::vector<index::Candidate> first,
                                           std::vector<index::Candidate> second) {
  if (first.empty()) return second;
  std::unordered_map<std::uint64_t, std::size_t> place;
  for (std::size_t i = 0; i < first.size(); ++i) place.emplace(first[i].id, i);
  for (const index::Candidate& one : second) {
    const auto [known, is_new] = place.emplace(one.id, first.size());
    if (is_new) {
      first.push_back(one);
    } else {
      float& kept = first[known->second].score;
      kept = std::max(kept, one.score);
    }
  }
  std::sort(first.begin(), first.end(), index::ranks_before);
  return first;
}

double shown_score(Metric metric, double index_score) {
  // Not the unary minus: of equal vectors the score is 0, not -0.
  return metric == Metric::kL2 ? 0 - std::sqrt(std::max(0.0, -index_score)) : index_score;
}

double exact_score(Metric metric, std::span<const float> block, std::span<const float> row) {
  if (block.empty()) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (const auto part : query_parts(block, static_cast<int>(row.size())))
    best = std::max(best, score(metric, part, row));
  return best;
}

}  // namespace nestor::query
