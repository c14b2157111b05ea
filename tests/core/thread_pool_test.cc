// What needs a process of its own: forks, and a system that gives no threads. Not for the thread
// sanitizer, which starts no threads in a child.
#include "core/thread_pool.h"

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace nestor {
namespace {

// The exit code of a child that runs `work`, or -1 where it did not end in ten seconds.
int exit_code_of_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(10);
    ::_exit(work());
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Threads that meet in one call; fewer than `count` where some never come.
int threads_that_meet(ThreadPool& pool, int count) {
  std::atomic<int> arrived{0};
  std::atomic<int> most{0};
  pool.for_each(count, [&](std::int64_t, int) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    ++arrived;
    while (arrived < count && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    most = std::max<int>(most, arrived);
  });
  return most;
}

TEST_CASE(
    "a child of fork() works alone with its parent's pool, and its destructor waits for none") {
  auto pool = std::make_unique<ThreadPool>(3);
  REQUIRE(threads_that_meet(*pool, 3) == 3);
  CHECK(exit_code_of_child([&] {
          int sum = 0;  // plain: the caller is alone
          pool->for_each(10, [&](std::int64_t index, int) { sum += static_cast<int>(index); });
          const int members = pool->reserve(8).size();
          pool.reset();
          return sum == 45 && members == 1 ? 0 : 1;
        }) == 0);
  CHECK(threads_that_meet(*pool, 3) == 3);
}

TEST_CASE("a pool made in a child of fork() has workers of its own, beside the parent's pool") {
  ThreadPool parents(3);
  REQUIRE(threads_that_meet(parents, 3) == 3);
  CHECK(exit_code_of_child([&] {
          ThreadPool own(3);
          return threads_that_meet(own, 3) == 3 ? 0 : 1;
        }) == 0);
}

TEST_CASE("a fork amid the calls of other threads leaves the child a pool that works") {
  ThreadPool parents(3);
  std::atomic<bool> stop = false;
  std::jthread busy([&] {
    while (!stop) parents.for_each(50, [](std::int64_t, int) {});
  });
  for (int round = 0; round < 20; ++round) {
    CHECK(exit_code_of_child([&] {
            ThreadPool own(2);
            std::atomic<int> calls{0};
            own.for_each(100, [&](std::int64_t, int) { ++calls; });
            parents.for_each(100, [&](std::int64_t, int) { ++calls; });
            return calls == 200 ? 0 : 1;
          }) == 0);
  }
  stop = true;
}

TEST_CASE("where the system gives no thread the calls are worked on by those there are") {
  CHECK(exit_code_of_child([] {
          // A stack of 64 TiB cannot be mapped: no thread can be made.
          pthread_attr_t attributes;
          ::pthread_attr_init(&attributes);
          ::pthread_attr_setstacksize(&attributes, std::size_t{1} << 46);
          if (::pthread_setattr_default_np(&attributes) != 0) return 2;
          ThreadPool pool(4);
          int sum = 0;  // plain: the caller is alone
          pool.for_each(10, [&](std::int64_t index, int) { sum += static_cast<int>(index); });
          return sum == 45 && pool.thread_count() == 4 && pool.reserve(8).size() == 1 ? 0 : 1;
        }) == 0);
}

}  // namespace
}  // namespace nestor
