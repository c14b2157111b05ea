// TeamBarrier: where the members of a team wait for one another between the steps of a shared pass.
// Steps take microseconds, so a member spins first; after some 20 microseconds it sleeps, for then
// the others are not running (a busy machine, more threads than processors). Yielding instead hands
// whole time slices to whatever else runs: on a machine busy with other work a text took 60 to 200
// ms instead of 27.
// Threads: made for them; at most `size` at once.
#pragma once

#include <atomic>
#include <chrono>

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
      round_.store(round + 1, std::memory_order_release);
      round_.notify_all();
      return;
    }
    const auto until = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int spins = 0; spins < kSpinsBetweenLooks; ++spins) {
        if (round_.load(std::memory_order_acquire) != round) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
      }
    } while (std::chrono::steady_clock::now() < until);
    round_.wait(round, std::memory_order_acquire);
  }

 private:
  static constexpr std::chrono::microseconds kSpin{20};
  // Between two looks at the clock; a pause takes 10 to 60 ns.
  static constexpr int kSpinsBetweenLooks = 16;

  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

}  // namespace nestor::embed
