// CallGate: lets calls in until it is closed, and waits for those inside. A thread knows whether it
// is inside a call, so that a callback cannot close what its own call holds open.
// Threads: safe anywhere.
#pragma once

#include <atomic>
#include <cstdint>

namespace nestor::query {

class CallGate {
 public:
  // This thread works for a call inside, for as long as the object lives.
  class Mark {
   public:
    explicit Mark(const CallGate* gate) : gate_(gate), outer_(current_) { current_ = this; }
    ~Mark() { current_ = outer_; }
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    friend class CallGate;
    const CallGate* const gate_;
    const Mark* const outer_;
    static inline thread_local const Mark* current_ = nullptr;
  };

  // One call inside; it is let go with the object.
  class Pass {
   public:
    explicit Pass(CallGate& gate) : gate_(gate.try_enter() ? &gate : nullptr), mark_(gate_) {}
    ~Pass() {
      if (gate_ != nullptr) gate_->leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    [[nodiscard]] bool entered() const { return gate_ != nullptr; }

   private:
    CallGate* const gate_;
    const Mark mark_;
  };

  // Whether this thread works for a call inside.
  [[nodiscard]] bool inside() const {
    for (const Mark* mark = Mark::current_; mark != nullptr; mark = mark->outer_) {
      if (mark->gate_ == this) return true;
    }
    return false;
  }
  // False where it was closed already, by this call or another one. Returns once no call is inside:
  // those that come meanwhile are not let in, so it cannot wait for ever. REQUIRES: not inside().
  bool close() {
    std::uint64_t before = state_.fetch_or(kClosed);
    if ((before & kClosed) != 0) return false;
    for (before |= kClosed; before != kClosed; before = state_.load()) state_.wait(before);
    return true;
  }
  [[nodiscard]] bool closed() const { return (state_.load() & kClosed) != 0; }

 private:
  static constexpr std::uint64_t kClosed = 1;
  static constexpr std::uint64_t kCall = 2;

  bool try_enter() {
    if ((state_.fetch_add(kCall) & kClosed) == 0) return true;
    leave();
    return false;
  }
  void leave() {
    if (state_.fetch_sub(kCall) == (kCall | kClosed)) state_.notify_all();
  }

  std::atomic<std::uint64_t> state_{0};  // kClosed and the number of calls inside
};

}  // namespace nestor::query
