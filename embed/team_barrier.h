// TeamBarrier: where the members of a team wait for one another between the steps of a shared pass.
// Steps take microseconds, so a member spins first; after some 20 microseconds it sleeps, for then
// the others are not running (a busy machine, more threads than processors). Yielding instead hands
// whole time slices to whatever else runs: on a machine busy with other work a text took 60 to 200
// ms instead of 27. How long the members waited says whether they had processors to run on.
// Threads: made for them; at most `size` at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace nestor::embed {

class TeamBarrier {
 public:
  explicit TeamBarrier(int size) : size_(size) {}

  // Returns when all members have called it as often as the caller. What each wrote before it is
  // seen by all after it.
  void wait() {
    if (size_ == 1) return;
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      // Not release: notify_all() must not look for sleepers before the new round is to be seen.
      round_.store(round + 1, std::memory_order_seq_cst);
      round_.notify_all();
      return;
    }
    if (spin(round)) return;
    const auto begin = std::chrono::steady_clock::now();
    auto now = begin;
    bool passed = false;
    while (!passed && now - begin < kSpin) {
      passed = spin(round);
      now = std::chrono::steady_clock::now();
    }
    if (!passed) {
      round_.wait(round, std::memory_order_acquire);
      now = std::chrono::steady_clock::now();
    }
    waited_.fetch_add(std::chrono::nanoseconds(now - begin).count(), std::memory_order_relaxed);
  }

  // What the members waited so far, added up; the first half microsecond of each wait left out.
  [[nodiscard]] std::chrono::nanoseconds waited() const {
    return std::chrono::nanoseconds(waited_.load(std::memory_order_relaxed));
  }

 private:
  // True when the round is over.
  bool spin(int round) const {
    for (int spins = 0; spins < kSpinsBetweenLooks; ++spins) {
      if (round_.load(std::memory_order_acquire) != round) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    return false;
  }

  static constexpr std::chrono::microseconds kSpin{20};
  // Between two looks at the clock; a pause takes 10 to 60 ns.
  static constexpr int kSpinsBetweenLooks = 16;

  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
  std::atomic<std::int64_t> waited_{0};
};

}  // namespace nestor::embed
