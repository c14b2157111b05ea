// The processor time of the calling thread, for tests that hold work to a bound: a busy machine
// does not count.
#pragma once

#include <ctime>

namespace nestor::testing {

inline double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace nestor::testing
