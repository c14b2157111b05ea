// Team: who works on one forward pass, the calling thread alone or a group of workers with it.
//
// With as many texts as threads, each worker takes its own text and is a team of one; a lone query
// is shared by all threads that are free. The split never changes what a single element is computed
// from.
// Threads: a Team belongs to the thread that runs the pass.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

#include "core/thread_pool.h"

namespace nestor::embed {

class Team {
 public:
  // The calling thread alone.
  Team() = default;
  // The calling thread and workers of the pool that are idle now, `most` in all, kept until the
  // Team goes.
  Team(ThreadPool& pool, int most) : group_(pool.reserve(most)) {}
  explicit Team(ThreadPool& pool) : Team(pool, pool.thread_count()) {}

  // Members, the calling thread counted.
  [[nodiscard]] int size() const { return group_.size(); }

  // Calls work(rank) for every rank in [0, size()), all at the same time: they may meet at
  // barriers.
  template <typename Work>
  void run(const Work& work) const {
    group_.run(size(), std::ref(work));  // by reference: a std::function that allocates nothing
  }

  // Calls work(index, member) for every index in [0, count); member is in [0, size()).
  template <typename Work>
  void for_each(std::int64_t count, const Work& work) const {
    std::atomic<std::int64_t> next{0};
    const auto take_items = [&](int member) {
      for (std::int64_t index = next++; index < count; index = next++) work(index, member);
    };
    group_.run(static_cast<int>(std::min<std::int64_t>(count, size())), std::ref(take_items));
  }

  // Calls work(begin, end) on stretches of [0, count), one a member, each a multiple of `grain`
  // long but for the last.
  template <typename Work>
  void split(std::int64_t count, std::int64_t grain, const Work& work) const {
    const std::int64_t grains = (count + grain - 1) / grain;
    const std::int64_t stretch = (grains + size() - 1) / size() * grain;
    for_each((count + stretch - 1) / stretch, [&](std::int64_t index, int) {
      work(index * stretch, std::min(count, (index + 1) * stretch));
    });
  }

 private:
  WorkerGroup group_;
};

}  // namespace nestor::embed
