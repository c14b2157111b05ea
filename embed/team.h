// Team: who works on one forward pass, the calling thread alone or the whole pool.
//
// With as many texts as threads, each worker takes its own text and is a team of one; a lone query
// is shared by all of them instead. The split never changes what a single element is computed from.
// Threads: a Team belongs to the thread that runs the pass.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "core/thread_pool.h"

namespace nestor::embed {

class Team {
 public:
  // The calling thread alone.
  Team() = default;
  // All threads of the pool. REQUIRES: not called from inside the pool's own work.
  explicit Team(ThreadPool& pool) : pool_(&pool) {}

  [[nodiscard]] int size() const { return pool_ == nullptr ? 1 : pool_->thread_count(); }

  // Calls work(index, worker) for every index in [0, count); worker is in [0, size()).
  template <typename Work>
  void for_each(std::int64_t count, const Work& work) const {
    if (pool_ != nullptr && count > 1) {
      pool_->for_each(count,
                      std::ref(work));  // by reference: a std::function that allocates nothing
      return;
    }
    for (std::int64_t index = 0; index < count; ++index) work(index, 0);
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
  ThreadPool* pool_ = nullptr;
};

}  // namespace nestor::embed
