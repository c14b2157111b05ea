#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <new>
#include <optional>
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

TEST_CASE("calls of several threads share a pool, each with worker numbers of its own") {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([&] {
        for (int round = 0; round < 50; ++round) {
          std::vector<std::int64_t> scratch(kThreads, 0);  // plain: one worker at a time
          // Small and large ones: those of one item take a way of their own.
          const std::int64_t count = round % 3 == 0 ? 1 : 20;
          pool.for_each(count, [&](std::int64_t index, int worker) {
            scratch[static_cast<std::size_t>(worker)] += index + 1;
          });
          std::int64_t sum = 0;
          for (const std::int64_t part : scratch) sum += part;
          if (sum != count * (count + 1) / 2) ++wrong;
        }
      });
    }
  }
  CHECK(wrong == 0);
}

// Waits for `what`, or gives up after a minute.
template <typename Condition>
bool comes_true(const Condition& what) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!what()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

TEST_CASE("a call is worked on while another one keeps its workers busy") {
  ThreadPool pool(3);
  std::atomic<bool> other_done = false;
  std::atomic<int> inside{0};
  bool done_beside = true;
  std::jthread long_call([&] {
    pool.for_each(3, [&](std::int64_t, int) {
      ++inside;
      if (!comes_true([&] { return other_done.load(); })) done_beside = false;
    });
  });
  REQUIRE(comes_true([&] { return inside == 3; }));
  std::atomic<int> calls{0};
  pool.for_each(10, [&](std::int64_t, int) { ++calls; });
  CHECK(calls == 10);
  other_done = true;
  long_call.join();
  CHECK(done_beside);
}

TEST_CASE("work may call for_each of its own pool, as deep as it likes, without waiting for ever") {
  ThreadPool pool(3);
  std::atomic<int> leaves{0};
  std::atomic<int> wrong{0};
  const std::function<void(int)> descend = [&](int depth) {
    if (depth == 0) {
      ++leaves;
      return;
    }
    std::vector<int> scratch(3, 0);
    pool.for_each(4, [&](std::int64_t, int worker) {
      ++scratch[static_cast<std::size_t>(worker)];
      descend(depth - 1);
    });
    if (scratch[0] + scratch[1] + scratch[2] != 4) ++wrong;
  };
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 10; ++round) descend(3);
    });
  }
  callers.clear();
  CHECK(wrong == 0);
  CHECK(leaves == 3 * 10 * 64);
}

TEST_CASE("an exception of the work comes out of the call and ends no worker") {
  ThreadPool pool(3);
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> begun{0};
    CHECK_THROWS_AS(pool.for_each(1'000'000,
                                  [&](std::int64_t index, int) {
                                    ++begun;
                                    if (index % 3 == 2) throw std::runtime_error("thrown");
                                  }),
                    std::runtime_error);
    CHECK(begun < 1'000'000);
  }
  // All three are still there: each item waits for the others.
  std::atomic<int> arrived{0};
  pool.for_each(3, [&](std::int64_t, int) {
    ++arrived;
    CHECK(comes_true([&] { return arrived == 3; }));
  });
}

TEST_CASE("members of a group run at the same time, and their number is what was reserved") {
  ThreadPool pool(4);
  const WorkerGroup group = pool.reserve(8);
  REQUIRE(group.size() == 4);
  for (const int count : {1, 2, 4, 9}) {
    std::atomic<int> arrived{0};
    std::vector<int> ranks(4, 0);
    const int members = std::min(count, 4);
    group.run(count, [&](int rank) {
      ++ranks[static_cast<std::size_t>(rank)];
      ++arrived;
      CHECK(comes_true([&] { return arrived == members; }));
    });
    for (int rank = 0; rank < 4; ++rank) {
      CHECK(ranks[static_cast<std::size_t>(rank)] == (rank < members ? 1 : 0));
    }
  }
  CHECK_THROWS_AS(group.run(4,
                            [](int rank) {
                              if (rank == 2) throw std::runtime_error("thrown");
                            }),
                  std::runtime_error);
}

TEST_CASE("a group gets idle workers alone, and calls go on beside it with what is left") {
  ThreadPool pool(3);
  std::optional<WorkerGroup> first(pool.reserve(8));
  REQUIRE(first->size() == 3);
  {
    const WorkerGroup second = pool.reserve(8);
    CHECK(second.size() == 1);
    int calls = 0;
    second.run(5, [&](int rank) { calls += rank + 1; });
    CHECK(calls == 1);
  }
  int worked = 0;  // plain: the caller is alone
  pool.for_each(10, [&](std::int64_t, int worker) { worked += worker == 0 ? 1 : 100; });
  CHECK(worked == 10);
  first.reset();
  CHECK(pool.reserve(8).size() == 3);
}

TEST_CASE("groups, calls and nested calls of many threads at once all come to an end") {
  ThreadPool small(2);
  ThreadPool large(5);
  std::atomic<std::int64_t> sum{0};
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      ThreadPool& pool = caller % 2 == 0 ? small : large;
      for (int round = 0; round < 200; ++round) {
        if (round % 3 == 0) {
          const WorkerGroup group = pool.reserve(8);
          std::atomic<int> arrived{0};
          // They meet: a member that does not run would hold up the others for ever.
          group.run(group.size(), [&](int) {
            ++arrived;
            while (arrived < group.size()) std::this_thread::yield();
            ++sum;
          });
          sum -= group.size();
        } else {
          pool.for_each(
              8, [&](std::int64_t, int) { large.for_each(3, [&](std::int64_t, int) { ++sum; }); });
          sum -= 24;
        }
      }
    });
  }
  callers.clear();
  CHECK(sum == 0);
}

std::ptrdiff_t threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

TEST_CASE("all pools of a process share their workers, which end with the last pool") {
  const auto before = threads_of_process();
  {
    ThreadPool two(2);
    CHECK(threads_of_process() == before);  // none before there is work
    const auto meet = [](ThreadPool& pool, int count) {
      std::atomic<int> arrived{0};
      pool.for_each(count, [&](std::int64_t, int) {
        ++arrived;
        while (arrived < count) std::this_thread::yield();
      });
    };
    meet(two, 2);
    CHECK(threads_of_process() == before + 1);
    ThreadPool four(4);
    ThreadPool four_more(4);
    meet(four, 4);
    meet(four_more, 4);
    meet(two, 2);
    CHECK(threads_of_process() == before + 3);
    const ThreadPool one(1);
  }
  // A joined thread leaves /proc a moment later.
  CHECK(comes_true([&] { return threads_of_process() == before; }));
}

TEST_CASE("a pool of one thread starts none and works on the caller") {
  const auto before = threads_of_process();
  ThreadPool pool(1);
  const auto caller = std::this_thread::get_id();
  pool.for_each(10, [&](std::int64_t, int worker) {
    CHECK(worker == 0);
    CHECK(std::this_thread::get_id() == caller);
  });
  CHECK(pool.reserve(8).size() == 1);
  CHECK(threads_of_process() == before);
}

TEST_CASE("workers leave the signals of the process to its own threads") {
  ThreadPool pool(2);
  sigset_t mine;
  sigset_t theirs;
  sigemptyset(&mine);
  sigemptyset(&theirs);
  const WorkerGroup group = pool.reserve(8);
  REQUIRE(group.size() == 2);
  group.run(
      2, [&](int rank) { ::pthread_sigmask(SIG_SETMASK, nullptr, rank == 0 ? &mine : &theirs); });
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM}) {
    CHECK(sigismember(&mine, signal) == 0);
    CHECK(sigismember(&theirs, signal) == 1);
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT}) CHECK(sigismember(&theirs, signal) == 0);
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
