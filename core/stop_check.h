// StopCheck: whether a call should go on, by the caller's stop token and deadline; what long work
// asks between its steps. Threads: a value; check() is safe anywhere.
#pragma once

#include <chrono>
#include <stop_token>
#include <utility>

#include "nestor/status.h"

namespace nestor {

class StopCheck {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Neither: never stops.
  StopCheck() = default;
  // Implicit on purpose: a token alone is what most callers have.
  StopCheck(std::stop_token stop, Time deadline = Time::max())
      : stop_(std::move(stop)), deadline_(deadline) {}

  // Errors: kCancelled, kDeadlineExceeded. Cost: some 30 ns where there is a deadline.
  [[nodiscard]] Status check() const;

 private:
  std::stop_token stop_;
  Time deadline_ = Time::max();
};

}  // namespace nestor
