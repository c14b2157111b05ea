#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/cpu_features.h"
#include "core/thread_pool.h"

namespace nestor {
namespace {

TEST_CASE("every index is worked on once, with any number of threads and items") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.thread_count() == threads);
    for (const std::int64_t count : {1, 2, 7, 8, 9, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      pool.for_each(count,
                    [&](std::int64_t index, int) { ++calls[static_cast<std::size_t>(index)]; });
      int wrong = 0;
      for (const std::atomic<int>& number : calls) wrong += number == 1 ? 0 : 1;
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("no items, or fewer than none, call nothing and return") {
  ThreadPool pool(3);
  int calls = 0;
  pool.for_each(0, [&](std::int64_t, int) { ++calls; });
  pool.for_each(-5, [&](std::int64_t, int) { ++calls; });
  CHECK(calls == 0);
}

TEST_CASE("no thread count asked for gives one for each processor of this process") {
  CHECK(ThreadPool(0).thread_count() == available_processor_count());
}

// The scratch is an ordinary int: the thread sanitizer sees two threads in it at once.
TEST_CASE("a worker's number is in range and belongs to one thread at a time") {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  std::vector<int> scratch(kThreads, 0);
  std::vector<std::atomic<int>> inside(kThreads);
  std::atomic<int> out_of_range{0};
  std::atomic<int> shared{0};
  pool.for_each(2000, [&](std::int64_t, int worker) {
    if (worker < 0 || worker >= kThreads) {
      ++out_of_range;
      return;
    }
    const auto place = static_cast<std::size_t>(worker);
    if (++inside[place] != 1) ++shared;
    ++scratch[place];
    --inside[place];
  });
  CHECK(out_of_range == 0);
  CHECK(shared == 0);
  int sum = 0;
  for (const int number : scratch) sum += number;
  CHECK(sum == 2000);
}

TEST_CASE("all threads of the pool take part, the caller's too") {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  // Each item waits until all workers hold one, so nobody can take two.
  std::atomic<int> arrived{0};
  std::vector<std::atomic<int>> calls(kThreads);
  pool.for_each(kThreads, [&](std::int64_t, int worker) {
    ++arrived;
    while (arrived < kThreads) std::this_thread::yield();
    ++calls[static_cast<std::size_t>(worker)];
  });
  for (const std::atomic<int>& number : calls) CHECK(number == 1);
}

TEST_CASE("one slow item does not hold up the others") {
  ThreadPool pool(2);
  std::atomic<int> others{0};
  bool all_others_were_done = false;
  pool.for_each(50, [&](std::int64_t index, int) {
    if (index != 0) {
      ++others;
      return;
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (others < 49 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    all_others_were_done = others == 49;
  });
  CHECK(all_others_were_done);
}

TEST_CASE("a pool is used again and again, and what was written is seen by the caller") {
  ThreadPool pool(4);
  std::vector<std::int64_t> results(16);
  int wrong = 0;
  for (std::int64_t round = 0; round < 500; ++round) {
    pool.for_each(16, [&](std::int64_t index, int) {
      results[static_cast<std::size_t>(index)] = round * 100 + index;
    });
    for (std::int64_t i = 0; i < 16; ++i) {
      wrong += results[static_cast<std::size_t>(i)] == round * 100 + i ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("several callers share a pool and their worker numbers do not mix") {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  std::vector<int> scratch(kThreads, 0);  // of all callers together
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int round = 0; round < 50; ++round) {
          std::atomic<std::int64_t> sum{0};
          // Small and large ones: those of one item take a way of their own.
          const std::int64_t count = round % 3 == 0 ? 1 : 20;
          pool.for_each(count, [&](std::int64_t index, int worker) {
            sum += index + 1;
            ++scratch[static_cast<std::size_t>(worker)];
          });
          if (sum != count * (count + 1) / 2) ++wrong;
        }
      });
    }
  }
  CHECK(wrong == 0);
  int total = 0;
  for (const int number : scratch) total += number;
  CHECK(total == 4 * (17 * 1 + 33 * 20));
}

TEST_CASE("work that fails ends what has not begun, and its failure comes back") {
  ThreadPool pool(4);
  std::atomic<int> calls = 0;
  CHECK(pool.try_for_each(100,
                          [&](std::int64_t, int) {
                            ++calls;
                            return Status();
                          })
            .ok());
  CHECK(calls == 100);
  calls = 0;
  const Status failed = pool.try_for_each(1'000'000, [&](std::int64_t index, int) {
    ++calls;
    return index == 3 ? Status(StatusCode::kDataLoss, "the fourth") : Status();
  });
  CHECK(failed.code() == StatusCode::kDataLoss);
  CHECK(failed.message() == "the fourth");
  CHECK(calls < 1'000'000);
  CHECK(pool.try_for_each(2, [](std::int64_t, int) -> Status { throw std::bad_alloc(); }).code() ==
        StatusCode::kOutOfMemory);
  const Status thrown =
      pool.try_for_each(2, [](std::int64_t, int) -> Status { throw std::runtime_error("thrown"); });
  CHECK(thrown.code() == StatusCode::kInternal);
  CHECK(thrown.message() == "thrown");
}

TEST_CASE("pools come and go, used or not, without waiting for anybody") {
  for (int i = 0; i < 200; ++i) {
    ThreadPool pool(3);
    if (i % 2 == 0) pool.for_each(2, [](std::int64_t, int) {});
  }
  const ThreadPool last(2);
  CHECK(last.thread_count() == 2);
}

}  // namespace
}  // namespace nestor
