// FairSharedMutex: a shared mutex under which a writer is not starved. glibc's std::shared_mutex
// lets new readers in while a writer waits, so searches back to back could keep a commit from being
// published for minutes (seen). Threads: that is what it is for. Not recursive, not even shared in
// shared.
#pragma once

#include <mutex>
#include <shared_mutex>

namespace nestor {

class FairSharedMutex {
 public:
  // Readers that come after a waiting writer wait at the gate behind it.
  void lock() {
    const std::lock_guard gate(gate_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    const std::lock_guard gate(gate_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex gate_;
  std::shared_mutex mutex_;
};

}  // namespace nestor
