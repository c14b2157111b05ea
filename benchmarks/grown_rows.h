// As many rows as wanted from few real ones, none of them kept: row i beyond the real ones is a
// real row moved by a real difference of neighbours, row + (neighbour - other row), made anew from
// the number i whenever it is asked for. So five million rows need no 15 GB.
// Threads: const calls at once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "core/vector_math.h"
#include "core/vector_math_product.h"
#include "index/top_candidates.h"

namespace nestor::benchmark {

class GrownRows {
 public:
  static constexpr std::size_t kWidth = 768;

  explicit GrownRows(std::vector<float> base)
      : base_(std::move(base)), base_count_(base_.size() / kWidth) {
    std::vector<std::pair<float, std::size_t>> scores(base_count_);
    for (std::size_t i = 0; i < kSeeds; ++i) {
      const std::size_t seed = mixed(i) % base_count_;
      const float* row = base_.data() + seed * kWidth;
      for (std::size_t other = 0; other < base_count_; ++other) {
        scores[other] = {std::inner_product(row, row + 128, base_.data() + other * kWidth, 0.0f),
                         other};
      }
      std::partial_sort(scores.begin(), scores.begin() + 6, scores.end(), std::greater<>());
      for (std::size_t n = 1; n < 6; ++n) pairs_.emplace_back(seed, scores[n].second);
    }
  }

  void row(std::uint64_t i, float* out) const {
    if (i < base_count_) {
      std::copy_n(base_.data() + i * kWidth, kWidth, out);
      return;
    }
    const auto [from, to] = pairs_[mixed(2 * i) % pairs_.size()];
    const float* moved = base_.data() + mixed(2 * i + 1) % base_count_ * kWidth;
    const float* minus = base_.data() + from * kWidth;
    const float* plus = base_.data() + to * kWidth;
    for (std::size_t d = 0; d < kWidth; ++d) out[d] = moved[d] + plus[d] - minus[d];
    normalize(std::span(out, kWidth));
  }

  void rows(std::uint64_t first, std::size_t count, std::vector<float>& out) const {
    out.resize(count * kWidth);
    for (std::size_t i = 0; i < count; ++i) row(first + i, out.data() + i * kWidth);
  }

 private:
  static constexpr std::size_t kSeeds = 1000;  // rows whose neighbours are looked for

  // SplitMix64 of a number.
  static std::uint64_t mixed(std::uint64_t i) {
    std::uint64_t z = (i + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  }

  std::vector<float> base_;
  std::size_t base_count_;
  std::vector<std::pair<std::size_t, std::size_t>> pairs_;
};

// The best `top` of the rows offered so far for each of (count) queries, by exact cosine; ids are
// numbers of rows plus one. Blocks of rows against all queries at once, which is a matrix product.
class ExactBest {
 public:
  ExactBest(std::span<const float> queries, std::int64_t top)
      : queries_(queries), best_(queries.size() / GrownRows::kWidth, index::TopCandidates(top)) {}

  void offer(std::uint64_t first, std::span<const float> rows) {
    constexpr auto kWidth = static_cast<std::int64_t>(GrownRows::kWidth);
    const auto count = static_cast<std::int64_t>(rows.size()) / kWidth;
    const auto query_count = static_cast<std::int64_t>(best_.size());
    scores_.resize(best_.size() * static_cast<std::size_t>(count));
    product_transposed({query_count, count, kWidth}, 1.0f, {queries_.data(), kWidth},
                       {rows.data(), kWidth}, {scores_.data(), count});
    const float* score = scores_.data();
    for (auto& best : best_) {
      for (std::int64_t i = 0; i < count; ++i, ++score) {
        if (*score < best.threshold()) continue;
        best.offer({first + static_cast<std::uint64_t>(i) + 1, *score});
      }
    }
  }

  std::vector<std::vector<index::Candidate>> take() {
    std::vector<std::vector<index::Candidate>> all;
    for (auto& best : best_) all.push_back(best.take());
    return all;
  }

 private:
  std::span<const float> queries_;
  std::vector<index::TopCandidates> best_;
  std::vector<float> scores_;  // (queries, rows of the block)
};

}  // namespace nestor::benchmark
