#include "core/thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <vector>

#include "core/check.h"
#include "core/cpu_features.h"

namespace nestor {
namespace {

// One call, on its caller's stack. All but `next` is guarded by the set's mutex.
struct Job {
  std::int64_t count = 0;
  const std::function<void(std::int64_t, int)>* work = nullptr;
  int most_helpers = 0;
  bool together = false;  // helper i takes item i and no other: a group's
  std::atomic<std::int64_t> next{0};
  int joined = 0;  // helpers that ever came; the last one's number
  int inside = 0;  // helpers at work
  std::exception_ptr failure;
  std::condition_variable done;
  Job* previous = nullptr;  // among the open ones
  Job* following = nullptr;

  [[nodiscard]] bool wants_help() const { return joined < most_helpers && next < count; }
};

}  // namespace

class Worker {
 public:
  pthread_t thread{};
  WorkerSet* set = nullptr;
  std::condition_variable wake;
  Job* job = nullptr;      // to work on
  int number = 0;          // in it
  bool reserved = false;   // belongs to a group
  Worker* next = nullptr;  // among the idle ones, or in the group
};

class WorkerSet {
 public:
  static std::shared_ptr<WorkerSet> of_this_process(int thread_count);

  WorkerSet() = default;
  ~WorkerSet();
  WorkerSet(const WorkerSet&) = delete;
  WorkerSet& operator=(const WorkerSet&) = delete;

  // False in a child of the process that made it: it has none of the threads.
  [[nodiscard]] bool is_ours() const { return ::getpid() == owner_; }
  void call(std::int64_t count, int most_helpers,
            const std::function<void(std::int64_t, int)>& work);
  Worker* reserve(int most, int& reserved);
  void release(Worker* first);
  void run_together(Worker* first, int helpers, const std::function<void(int)>& work);

 private:
  static void* enter(void* worker);
  void serve(Worker& self);
  void work_on(Job& job, int number);
  void assign(Worker& worker, Job& job);
  void finish(Job& job, std::unique_lock<std::mutex>& lock);
  Worker* take_idle();
  Worker* start_worker();
  Job* open_job();
  void open(Job& job);
  void close(Job& job);

  const pid_t owner_ = ::getpid();
  std::mutex mutex_;
  std::size_t most_workers_ = 0;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
  Worker* idle_ = nullptr;
  Job* open_ = nullptr;  // calls that helpers may join
};

namespace {

// A set of this process, or none. In a child of fork() the mutex may be held by a thread that is
// not there, so the child makes itself another registry; the old one stays reachable.
struct Registry {
  pid_t owner = 0;
  std::mutex mutex;
  std::weak_ptr<WorkerSet> set;
  Registry* parents = nullptr;
};

Registry& registry() {
  static std::atomic<Registry*> latest{nullptr};
  Registry* found = latest.load();
  const pid_t self = ::getpid();
  if (found != nullptr && found->owner == self) return *found;
  auto made = std::make_unique<Registry>();
  made->owner = self;
  made->parents = found;
  if (latest.compare_exchange_strong(found, made.get())) return *made.release();
  return *found;  // another thread was faster
}

// Signals are for the threads of the host. Those that a thread causes itself stay, and a
// profiler's.
sigset_t signals_of_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
    sigdelset(&set, own);
  }
  return set;
}

}  // namespace

std::shared_ptr<WorkerSet> WorkerSet::of_this_process(int thread_count) {
  Registry& here = registry();
  const std::lock_guard lock(here.mutex);
  std::shared_ptr<WorkerSet> set = here.set.lock();
  if (set == nullptr) {
    // A child that goes must neither wait for the threads nor touch what they sleep on.
    set = std::shared_ptr<WorkerSet>(new WorkerSet, [](WorkerSet* gone) {
      if (gone->is_ours()) delete gone;
    });
    here.set = set;
  }
  const std::lock_guard inside(set->mutex_);
  set->most_workers_ = std::max(set->most_workers_, static_cast<std::size_t>(thread_count - 1));
  return set;
}

WorkerSet::~WorkerSet() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& worker : workers_) worker->wake.notify_one();
  }
  for (const auto& worker : workers_) ::pthread_join(worker->thread, nullptr);
}

void* WorkerSet::enter(void* worker) {
  auto* const self = static_cast<Worker*>(worker);
  self->set->serve(*self);
  return nullptr;
}

// With the lock held. Null: there are as many as may be, or the system gives no more.
Worker* WorkerSet::start_worker() try {
  if (workers_.size() >= most_workers_) return nullptr;
  workers_.push_back(std::make_unique<Worker>());
  Worker* const worker = workers_.back().get();
  worker->set = this;
  const sigset_t blocked = signals_of_others();
  sigset_t before;
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before);
  const int refused = ::pthread_create(&worker->thread, nullptr, enter, worker);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (refused != 0) {
    workers_.pop_back();
    return nullptr;
  }
  ::pthread_setname_np(worker->thread, "nestor-worker");
  return worker;
} catch (const std::bad_alloc&) {
  return nullptr;
}

Worker* WorkerSet::take_idle() {
  Worker* const taken = idle_;
  if (taken == nullptr) return start_worker();
  idle_ = taken->next;
  taken->next = nullptr;
  return taken;
}

void WorkerSet::assign(Worker& worker, Job& job) {
  worker.job = &job;
  worker.number = ++job.joined;
  ++job.inside;
  worker.wake.notify_one();
}

void WorkerSet::open(Job& job) {
  job.following = open_;
  if (open_ != nullptr) open_->previous = &job;
  open_ = &job;
}

void WorkerSet::close(Job& job) {
  (job.previous == nullptr ? open_ : job.previous->following) = job.following;
  if (job.following != nullptr) job.following->previous = job.previous;
}

// The one with the fewest helpers.
Job* WorkerSet::open_job() {
  Job* best = nullptr;
  for (Job* job = open_; job != nullptr; job = job->following) {
    if (job->wants_help() && (best == nullptr || job->inside < best->inside)) best = job;
  }
  return best;
}

void WorkerSet::work_on(Job& job, int number) {
  try {
    if (job.together) {
      (*job.work)(number, number);
      return;
    }
    for (std::int64_t index = job.next.fetch_add(1); index < job.count;
         index = job.next.fetch_add(1)) {
      (*job.work)(index, number);
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (job.failure == nullptr) job.failure = std::current_exception();
    job.next = job.count;
  }
}

void WorkerSet::serve(Worker& self) {
  std::unique_lock lock(mutex_);
  while (true) {
    self.wake.wait(lock, [&] { return self.job != nullptr || stopping_; });
    if (self.job == nullptr) return;
    while (self.job != nullptr) {
      Job& job = *self.job;
      const int number = self.number;
      lock.unlock();
      work_on(job, number);
      lock.lock();
      self.job = nullptr;
      // Under the lock: the caller's stack is its own again once it has it.
      if (--job.inside == 0) job.done.notify_one();
      if (self.reserved) continue;  // idle for its group
      if (Job* const other = open_job(); other != nullptr) {
        assign(self, *other);
      } else {
        self.next = idle_;
        idle_ = &self;
      }
    }
  }
}

// Waits for the helpers and throws what `work` threw.
void WorkerSet::finish(Job& job, std::unique_lock<std::mutex>& lock) {
  job.done.wait(lock, [&] { return job.inside == 0; });
  lock.unlock();
  if (job.failure != nullptr) std::rethrow_exception(job.failure);
}

void WorkerSet::call(std::int64_t count, int most_helpers,
                     const std::function<void(std::int64_t, int)>& work) {
  Job job;
  job.count = count;
  job.work = &work;
  job.most_helpers = most_helpers;
  {
    const std::lock_guard lock(mutex_);
    open(job);
    while (job.joined < most_helpers) {
      Worker* const worker = take_idle();
      if (worker == nullptr) break;
      assign(*worker, job);
    }
  }
  work_on(job, 0);
  std::unique_lock lock(mutex_);
  close(job);
  finish(job, lock);
}

Worker* WorkerSet::reserve(int most, int& reserved) {
  const std::lock_guard lock(mutex_);
  Worker* first = nullptr;
  for (reserved = 0; reserved < most; ++reserved) {
    Worker* const worker = take_idle();
    if (worker == nullptr) break;
    worker->reserved = true;
    worker->next = first;
    first = worker;
  }
  return first;
}

void WorkerSet::release(Worker* first) {
  const std::lock_guard lock(mutex_);
  while (first != nullptr) {
    Worker& worker = *first;
    first = worker.next;
    worker.reserved = false;
    worker.next = nullptr;
    if (Job* const other = open_job(); other != nullptr) {
      assign(worker, *other);
    } else {
      worker.next = idle_;
      idle_ = &worker;
    }
  }
}

void WorkerSet::run_together(Worker* first, int helpers, const std::function<void(int)>& work) {
  const auto ranked = [&work](std::int64_t rank, int) { work(static_cast<int>(rank)); };
  const std::function<void(std::int64_t, int)> of_rank = std::ref(ranked);
  Job job;
  job.work = &of_rank;
  job.together = true;
  {
    const std::lock_guard lock(mutex_);
    for (; job.joined < helpers; first = first->next) assign(*first, job);
  }
  work_on(job, 0);
  std::unique_lock lock(mutex_);
  finish(job, lock);
}

WorkerGroup::~WorkerGroup() {
  if (first_ != nullptr && set_->is_ours()) set_->release(first_);
}

void WorkerGroup::run(int count, const std::function<void(int)>& work) const {
  const int helpers = std::min(count, size_) - 1;
  if (helpers > 0) {
    NESTOR_CHECK(set_->is_ours(), "a group of workers in the process that reserved it");
    set_->run_together(first_, helpers, work);
  } else if (count > 0) {
    work(0);
  }
}

ThreadPool::ThreadPool(int thread_count)
    : thread_count_(thread_count == 0 ? available_processor_count() : thread_count) {
  NESTOR_CHECK(thread_count_ >= 1, "a count of threads");
  if (thread_count_ > 1) set_ = WorkerSet::of_this_process(thread_count_);
}

ThreadPool::~ThreadPool() = default;

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& work) {
  const std::int64_t helpers = std::min<std::int64_t>(thread_count_, count) - 1;
  if (helpers > 0 && set_->is_ours()) {
    set_->call(count, static_cast<int>(helpers), work);
    return;
  }
  for (std::int64_t index = 0; index < count; ++index) work(index, 0);
}

WorkerGroup ThreadPool::reserve(int most) {
  WorkerGroup group;
  const int helpers = std::min(most, thread_count_) - 1;
  if (helpers <= 0 || !set_->is_ours()) return group;
  int reserved = 0;
  group.first_ = set_->reserve(helpers, reserved);
  group.size_ = reserved + 1;
  if (reserved > 0) group.set_ = set_;
  return group;
}

Status ThreadPool::try_for_each(std::int64_t count,
                                const std::function<Status(std::int64_t, int)>& work) {
  std::mutex mutex;
  Status failure;
  std::atomic<bool> failed = false;
  const auto one = [&](std::int64_t index, int worker) {
    if (failed) return;
    Status status;
    try {
      status = work(index, worker);
    } catch (const std::bad_alloc&) {
      status = Status(StatusCode::kOutOfMemory, "no memory for the work of a thread");
    } catch (const std::exception& error) {
      status = Status(StatusCode::kInternal, error.what());
    }
    if (status.ok()) return;
    const std::lock_guard lock(mutex);
    if (failure.ok()) failure = std::move(status);
    failed = true;
  };
  for_each(count, std::ref(one));
  return failure;
}

}  // namespace nestor
