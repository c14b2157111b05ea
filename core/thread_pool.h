// The one pool of worker threads. Work is handed out item by item, so uneven items balance
// themselves. Threads: any number may call for_each at once; the calling thread works too.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "nestor/status.h"

namespace nestor {

class ThreadPool {
 public:
  // `thread_count` counts the calling thread; 0: one for each processor this process may run on.
  // Where the system refuses a thread the pool goes on with fewer.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int thread_count() const;
  // Calls `work(index, worker)` once for every index in [0, count); worker is in [0, thread_count)
  // and no two calls run at once with the same one, so scratch may be kept by worker. Returns when
  // all are done. `work` must not throw and must not call for_each of the same pool (it would wait
  // for itself). Calls of several threads are worked on one after the other.
  void for_each(std::int64_t count,
                const std::function<void(std::int64_t index, int worker)>& work);

  // The same for work that can fail: the first failure comes back, and what has not begun by then
  // is left out. An exception of `work` is a failure too: kOutOfMemory, kInternal.
  Status try_for_each(std::int64_t count,
                      const std::function<Status(std::int64_t index, int worker)>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nestor
