#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "embed/team_barrier.h"

namespace nestor::embed {
namespace {

TEST_CASE("what a member wrote before the barrier is seen by all after it, round after round") {
  // More members than this machine may have processors, too.
  for (const int size : {1, 2, 3, 7}) {
    constexpr int kRounds = 200;
    TeamBarrier barrier(size);
    std::vector<int> written(static_cast<std::size_t>(size), 0);  // plain: the barrier orders it
    std::atomic<int> wrong = 0;
    std::vector<std::jthread> members;
    for (int rank = 0; rank < size; ++rank) {
      members.emplace_back([&, rank] {
        for (int round = 1; round <= kRounds; ++round) {
          written[static_cast<std::size_t>(rank)] = round;
          barrier.wait();
          for (const int value : written) wrong += value == round ? 0 : 1;
          barrier.wait();
        }
      });
    }
    members.clear();
    CHECK(wrong == 0);
  }
}

TEST_CASE("no member passes before the last one has come") {
  constexpr int kSize = 3;
  TeamBarrier barrier(kSize);
  std::atomic<int> passed = 0;
  std::vector<std::jthread> early;
  for (int i = 0; i < kSize - 1; ++i) {
    early.emplace_back([&] {
      barrier.wait();
      ++passed;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(passed == 0);
  barrier.wait();
  early.clear();
  CHECK(passed == kSize - 1);
}

}  // namespace
}  // namespace nestor::embed
