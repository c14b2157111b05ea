// A bar on stderr that shows how far a long call has come, with rate and time left. On a terminal
// it redraws one line ten times a second; elsewhere it prints one line every ten seconds.
//
//   ProgressLine line(context, "indexing");
//   line.update(bytes_done, bytes_total, [](double rate) { return bytes_text(rate) + "/s"; });
//
// Threads: one, the main thread. At most one line lives at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "tools/cli/context.h"
#include "tools/cli/terminal.h"

namespace nestor::cli {

class ProgressLine {
 public:
  // Silent with --quiet.
  ProgressLine(Context& context, std::string label);
  // Wipes the bar.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // `done` of `total` (0: unknown) in the unit that takes the time: tokens, bytes. `describe` is
  // called only when a line is due and gets the rate in units a second (0: not known yet).
  void update(std::int64_t done, std::int64_t total,
              const std::function<std::string(double rate)>& describe);
  // Takes the bar off the screen, so that another line can be printed; the next update draws it
  // again.
  void wipe();

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] bool due(Clock::time_point now) const;
  void measure(Clock::time_point now, std::int64_t done);

  Context& context_;
  std::string label_;
  Terminal terminal_;
  bool silent_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_drawn_;
  // The rate is taken over the last few seconds, so that a slow start does not spoil the estimate.
  Clock::time_point measured_at_;
  std::int64_t measured_done_ = 0;
  double rate_ = 0;
};

// "2:38", "1:02:03".
std::string duration_text(double seconds);
// "6.1k", "1.2M", "930".
std::string short_count(double value);
// "1.2 GB", in powers of 1,000.
std::string bytes_text(double bytes);

}  // namespace nestor::cli
