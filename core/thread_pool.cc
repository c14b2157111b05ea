#include "core/thread_pool.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "core/check.h"
#include "core/cpu_features.h"

namespace nestor {

struct ThreadPool::State {
  std::mutex turn;  // one for_each at a time
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::uint64_t generation = 0;  // of the work at hand
  bool stopping = false;
  int busy = 0;  // workers inside the work at hand
  std::int64_t count = 0;
  const std::function<void(std::int64_t, int)>* work = nullptr;
  std::atomic<std::int64_t> next{0};
  std::vector<std::jthread> threads;

  // Here and not in ~ThreadPool, which does not run when starting the threads throws: joining them
  // unasked would wait for ever.
  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_all();
  }

  void take_items(int worker) {
    for (std::int64_t index = next.fetch_add(1); index < count; index = next.fetch_add(1)) {
      (*work)(index, worker);
    }
  }

  void run(int worker) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      lock.unlock();
      take_items(worker);
      lock.lock();
      if (--busy == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int thread_count) : state_(std::make_unique<State>()) {
  NESTOR_CHECK(thread_count >= 0, "a count of threads");
  const int total = thread_count == 0 ? available_processor_count() : thread_count;
  try {
    for (int worker = 1; worker < total; ++worker) {
      state_->threads.emplace_back([state = state_.get(), worker] { state->run(worker); });
    }
  } catch (const std::system_error&) {
    // The system gives no more threads (a process limit): the work is done by those there are, and
    // thread_count() says how many.
  }
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::thread_count() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::for_each(std::int64_t count, const std::function<void(std::int64_t, int)>& work) {
  if (count <= 0) return;
  const std::lock_guard turn(state_->turn);
  if (count == 1 || state_->threads.empty()) {  // nobody to wake
    for (std::int64_t index = 0; index < count; ++index) work(index, 0);
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->work = &work;
    state_->count = count;
    state_->next = 0;
    state_->busy = static_cast<int>(state_->threads.size());
    ++state_->generation;
  }
  state_->wake.notify_all();
  state_->take_items(0);
  std::unique_lock lock(state_->mutex);
  state_->done.wait(lock, [&] { return state_->busy == 0; });
}

Status ThreadPool::try_for_each(std::int64_t count,
                                const std::function<Status(std::int64_t, int)>& work) {
  std::mutex mutex;
  Status failure;
  std::atomic<bool> failed = false;
  for_each(count, [&](std::int64_t index, int worker) {
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
  });
  return failure;
}

}  // namespace nestor
