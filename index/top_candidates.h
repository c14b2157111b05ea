// TopCandidates: the best few of many scored rows, exactly: of equal scores the lower id is kept,
// also at the cut. Amortised constant time an offer, whatever the order. Threads: a value of one
// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "index/coarse_index.h"

namespace nestor::index {

// The order of all ranked lists: better score first, then lower id.
inline bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

class TopCandidates {
 public:
  // REQUIRES: count >= 0.
  explicit TopCandidates(std::int64_t count) : count_(static_cast<std::size_t>(count)) {
    if (count_ == 0) threshold_ = std::numeric_limits<float>::infinity();
    kept_.reserve(std::min<std::size_t>(2 * count_, kMostReserved));
  }

  // A score below this one cannot be among the best; offering it is allowed and in vain.
  [[nodiscard]] float threshold() const { return threshold_; }

  void offer(const Candidate& candidate) {
    if (count_ == 0) return;
    kept_.push_back(candidate);
    if (kept_.size() == 2 * count_) cut();
  }

  // Best first. The object is empty afterwards.
  std::vector<Candidate> take() {
    if (kept_.size() > count_) cut();
    std::sort(kept_.begin(), kept_.end(), ranks_before);
    return std::move(kept_);
  }

 private:
  static constexpr std::size_t kMostReserved = 1 << 16;

  void cut() {
    const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(count_ - 1);
    std::nth_element(kept_.begin(), last, kept_.end(), ranks_before);
    threshold_ = last->score;
    kept_.resize(count_);
  }

  std::size_t count_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Candidate> kept_;  // at most 2 * count_
};

}  // namespace nestor::index
