#include "tools/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace nestor::cli {
namespace {

constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);
constexpr auto kMeasureEvery = std::chrono::seconds(1);
constexpr int kBarCells = 20;
// Share of the newest second in the rate: about the last five seconds count.
constexpr double kNewShare = 0.3;

std::string bar_text(std::int64_t done, std::int64_t total) {
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const int full = static_cast<int>(share * kBarCells);
  return fmt::format("[{}{}] {:3.0f}%", std::string(full, '#'), std::string(kBarCells - full, '.'),
                     std::floor(share * 100));
}

}  // namespace

ProgressLine::ProgressLine(Context& context, std::string label)
    : context_(context),
      label_(std::move(label)),
      terminal_(terminal_of(2)),
      silent_(context.global.quiet),
      start_(Clock::now()),
      last_drawn_(start_),
      measured_at_(start_) {
  context_.progress_line = this;
}

ProgressLine::~ProgressLine() {
  wipe();
  context_.progress_line = nullptr;
}

bool ProgressLine::due(Clock::time_point now) const {
  if (silent_) return false;
  // The first look comes at once on a terminal: somebody waits.
  if (terminal_.interactive) return !drawn_ || now - last_drawn_ >= kRedrawEvery;
  return now - last_drawn_ >= kLineEvery;
}

void ProgressLine::measure(Clock::time_point now, std::int64_t done) {
  const std::chrono::duration<double> passed = now - measured_at_;
  if (passed < kMeasureEvery) return;
  const double newest = static_cast<double>(done - measured_done_) / passed.count();
  rate_ = rate_ == 0 ? newest : rate_ + kNewShare * (newest - rate_);
  measured_at_ = now;
  measured_done_ = done;
}

void ProgressLine::update(std::int64_t done, std::int64_t total,
                          const std::function<std::string(double rate)>& describe) {
  const Clock::time_point now = Clock::now();
  measure(now, done);
  if (!due(now)) return;
  last_drawn_ = now;
  std::string line = label_;
  if (total > 0) line += "  " + bar_text(done, total);
  if (const std::string detail = describe(rate_); !detail.empty()) line += "  " + detail;
  if (total > done && rate_ > 0) {
    line += "  ETA " + duration_text(static_cast<double>(total - done) / rate_);
  }
  if (terminal_.interactive) {
    line = "\r\x1b[K" + cut_to_columns(line, terminal_.width - 1);
    drawn_ = true;
  } else {
    line += "\n";
  }
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void ProgressLine::wipe() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::clamp(std::ceil(seconds), 0.0, 360'000.0));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string short_count(double value) {
  if (value >= 999'500) return fmt::format("{:.1f}M", value / 1e6);
  if (value >= 1000) return fmt::format("{:.1f}k", value / 1e3);
  return fmt::format("{:.0f}", value);
}

std::string bytes_text(double bytes) {
  if (bytes >= 999.5e6) return fmt::format("{:.1f} GB", bytes / 1e9);
  if (bytes >= 999.5e3) return fmt::format("{:.1f} MB", bytes / 1e6);
  if (bytes >= 1000) return fmt::format("{:.1f} kB", bytes / 1e3);
  return fmt::format("{:.0f} bytes", bytes);
}

}  // namespace nestor::cli
