#include "query/diversify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/macros.h"
#include "core/vector_math.h"

namespace nestor::query {
namespace {

// Rows with their lengths, so that a cosine is one product.
class Rows {
 public:
  Rows(std::span<const float> vectors, std::size_t width) : vectors_(vectors), width_(width) {
    for (std::size_t i = 0; i < count(); ++i) lengths_.push_back(std::sqrt(dot(row(i), row(i))));
  }
  [[nodiscard]] std::size_t count() const { return width_ == 0 ? 0 : vectors_.size() / width_; }
  [[nodiscard]] double cosine(std::size_t a, std::size_t b) const {
    const double lengths = lengths_[a] * lengths_[b];
    return lengths > 0 ? dot(row(a), row(b)) / lengths : 0;
  }

 private:
  [[nodiscard]] std::span<const float> row(std::size_t i) const {
    return vectors_.subspan(i * width_, width_);
  }
  std::span<const float> vectors_;
  std::size_t width_;
  std::vector<double> lengths_;
};

Status check_rows(std::size_t components, std::size_t width, std::size_t count) {
  if (width > 0 && components == width * count) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("{} components for {} candidates of width {}", components, count, width)};
}

}  // namespace

Result<std::vector<std::size_t>> select_mmr(std::span<const double> relevance,
                                            std::span<const float> vectors, std::size_t width,
                                            double lambda, std::size_t k, const StopCheck& stop) {
  if (!(lambda >= 0 && lambda <= 1)) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("lambda of MMR is {}; expected 0 (variety) to 1 (relevance)", lambda));
  }
  if (relevance.empty()) return std::vector<std::size_t>();
  NESTOR_RETURN_IF_ERROR(check_rows(vectors.size(), width, relevance.size()));
  const Rows rows(vectors, width);
  std::vector<double> nearest(relevance.size(), -1);  // highest cosine to one that was picked
  std::vector<bool> picked(relevance.size());
  std::vector<std::size_t> order;
  while (order.size() < std::min(k, relevance.size())) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    std::size_t best = relevance.size();
    double best_worth = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < relevance.size(); ++i) {
      if (picked[i]) continue;
      const double worth =
          order.empty() ? relevance[i] : lambda * relevance[i] - (1 - lambda) * nearest[i];
      if (best == relevance.size() || worth > best_worth) {
        best = i;
        best_worth = worth;
      }
    }
    picked[best] = true;
    order.push_back(best);
    if (lambda == 1) continue;
    for (std::size_t i = 0; i < relevance.size(); ++i) {
      if (!picked[i]) nearest[i] = std::max(nearest[i], rows.cosine(i, best));
    }
  }
  return order;
}

std::vector<std::size_t> limit_per_document(std::span<const std::string> documents,
                                            std::size_t most) {
  std::unordered_map<std::string_view, std::size_t> taken;
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (taken[documents[i]]++ < most) kept.push_back(i);
  }
  return kept;
}

Result<std::vector<std::size_t>> drop_near_duplicates(std::span<const float> vectors,
                                                      std::size_t width, double threshold) {
  std::vector<std::size_t> kept;
  if (vectors.empty()) return kept;
  NESTOR_RETURN_IF_ERROR(
      check_rows(vectors.size(), width, width == 0 ? 0 : vectors.size() / width));
  const Rows rows(vectors, width);
  for (std::size_t i = 0; i < rows.count(); ++i) {
    const bool repeats = std::any_of(kept.begin(), kept.end(), [&](std::size_t other) {
      return rows.cosine(i, other) >= threshold;
    });
    if (!repeats) kept.push_back(i);
  }
  return kept;
}

}  // namespace nestor::query
