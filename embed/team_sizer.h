// TeamSizer: how many members the next shared pass should have. Members that have no processor to
// run on hold up the others at every barrier: on a machine busy with other work a team of two took
// 14 ms for a query that one thread finishes in 8.6 (two processors, load 4, 2026-11-30). So a team
// whose members waited for much of a pass is halved, and a larger one is tried again later, the
// later the more often that has failed. Threads: a value of one thread.
#pragma once

#include <algorithm>

namespace nestor::embed {

class TeamSizer {
 public:
  explicit TeamSizer(int most) : most_(most), size_(most) {}

  [[nodiscard]] int size() const { return size_; }

  // Of a pass by a team of size(): how much of its members' time was waiting, 0 to 1.
  void hear(double waited_share) {
    if (waited_share > kTooMuch) {
      if (calm_passes_ < kFewestCalm) patience_ = std::min(2 * patience_, kMostPatience);
      size_ = std::max(size_ / 2, 1);
      calm_passes_ = 0;
      return;
    }
    ++calm_passes_;
    if (size_ == most_ && calm_passes_ >= kFewestCalm) patience_ = kFewestCalm;
    if (size_ < most_ && calm_passes_ >= patience_) {
      size_ = std::min(2 * size_, most_);
      calm_passes_ = 0;
    }
  }

 private:
  // Members of equal speed wait for 5 to 15 % of a pass, for steps do not divide evenly.
  static constexpr double kTooMuch = 0.3;
  static constexpr int kFewestCalm = 4;
  static constexpr int kMostPatience = 64;

  int most_;
  int size_;
  int calm_passes_ = 0;  // since the size changed
  int patience_ = kFewestCalm;
};

}  // namespace nestor::embed
