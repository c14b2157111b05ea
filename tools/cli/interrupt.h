// Ctrl-C and SIGTERM: the first asks the running call to stop at its next safe border, the second
// ends the program at once. Threads: make one in main before any work starts.
#pragma once

#include <stop_token>

namespace nestor::cli {

class InterruptHandler {
 public:
  InterruptHandler();
  ~InterruptHandler();
  InterruptHandler(const InterruptHandler&) = delete;
  InterruptHandler& operator=(const InterruptHandler&) = delete;

  [[nodiscard]] std::stop_token token() const;

 private:
  struct State;
  State* state_;
};

}  // namespace nestor::cli
