#include "core/stop_check.h"

namespace nestor {

Status StopCheck::check() const {
  if (stop_.stop_requested()) return {StatusCode::kCancelled, "the search was stopped"};
  if (deadline_ != Time::max() && std::chrono::steady_clock::now() >= deadline_) {
    return {StatusCode::kDeadlineExceeded,
            "the search's deadline passed before it was done; give it more time, or ask for less "
            "(fewer hits, fewer candidates, shorter questions)"};
  }
  return {};
}

}  // namespace nestor
