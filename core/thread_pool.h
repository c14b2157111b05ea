// ThreadPool: a handle to the worker threads of this process, with a limit of its own.
//
// All handles share one set of workers, so an embedder and several databases do not multiply
// threads. A worker is started when a call can use it and none is idle; there are never more than
// the largest `thread_count` that a handle was made with, less the caller. They sleep while there
// is nothing to do, have the name nestor-worker, take no signals of the process (but those a thread
// sends itself, such as SIGSEGV), and end with the last handle.
//
// Calls of several threads are worked on side by side: each caller works on its own call, idle
// workers help. So a call may be made from inside the work of another one, of the same handle too,
// and never waits for a worker that is busy elsewhere.
//
// After fork() the child has none of its parent's workers: calls of a handle from before are worked
// on by their caller alone, its destructor waits for nobody, and handles made in the child get
// workers of their own.
// Threads: any number may call at once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "nestor/status.h"

namespace nestor {

class WorkerSet;
class Worker;

// Workers that were idle and are kept for one caller, so that all of them run at the same time and
// may wait for one another. Threads: a value of one thread.
class WorkerGroup {
 public:
  // The calling thread alone.
  WorkerGroup() = default;
  WorkerGroup(WorkerGroup&& other) noexcept
      : set_(std::move(other.set_)),
        first_(std::exchange(other.first_, nullptr)),
        size_(std::exchange(other.size_, 1)) {}
  WorkerGroup& operator=(WorkerGroup&&) = delete;
  ~WorkerGroup();

  // The calling thread counted.
  [[nodiscard]] int size() const { return size_; }
  // Calls work(rank) once for each rank in [0, min(count, size())), all at the same time, rank 0 on
  // the calling thread; returns when all are done. An exception of `work` comes out of it after
  // that; where others wait for the rank that threw, they wait for ever.
  void run(int count, const std::function<void(int rank)>& work) const;

 private:
  friend class ThreadPool;
  std::shared_ptr<WorkerSet> set_;
  Worker* first_ = nullptr;  // a chain of size_ - 1
  int size_ = 1;
};

class ThreadPool {
 public:
  // `thread_count` is the most threads that work on one call, the calling one counted; 0: one per
  // available processor (cpu_features.h). More threads than processors are made if asked for.
  explicit ThreadPool(int thread_count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int thread_count() const { return thread_count_; }
  // Calls `work(index, worker)` once for every index in [0, count); worker is in [0, thread_count)
  // and no two of this call run at once with the same one, so scratch that belongs to the call may
  // be kept by worker. Returns when all are done. Where busy workers or the system leave fewer
  // threads, those do it all. The first exception of `work` comes out of the call, when the items
  // that had begun are done; the others are left out. Allocates nothing once the workers run.
  void for_each(std::int64_t count,
                const std::function<void(std::int64_t index, int worker)>& work);

  // The same for work that can fail: the first failure comes back, and what has not begun by then
  // is left out. An exception of `work` is a failure too: kOutOfMemory, kInternal.
  Status try_for_each(std::int64_t count,
                      const std::function<Status(std::int64_t index, int worker)>& work);

  // Up to `most` threads, and no more than thread_count(), at the same time: the caller and workers
  // that are idle now or can be started. They are the group's until it goes.
  [[nodiscard]] WorkerGroup reserve(int most);

 private:
  const int thread_count_;
  std::shared_ptr<WorkerSet> set_;
};

}  // namespace nestor
