// TeamBarrier: where the members of a team wait for one another between the steps of a shared pass.
// Steps take microseconds, so a member spins first; if the others are not running (a busy machine,
// more threads than processors) it sleeps. Yielding instead hands whole time slices to whatever
// else runs: on a machine busy with other work a text took 60 to 200 ms instead of 27.
// Threads: made for them; at most `size` at once.
#pragma once

#include <atomic>

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
    for (int spins = 0; spins < kSpins; ++spins) {
      if (round_.load(std::memory_order_acquire) != round) return;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
    round_.wait(round, std::memory_order_acquire);
  }

 private:
  static constexpr int kSpins = 2000;  // some 30 microseconds

  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<int> round_{0};
};

}  // namespace nestor::embed
