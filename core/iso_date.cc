#include "core/iso_date.h"

#include <chrono>

namespace nestor {
namespace {

// Takes the text apart from the front; every step says whether it was there.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  bool digits(std::size_t count, int& value) {
    if (rest_.size() < count) return false;
    value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return false;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return true;
  }

  bool any_of(std::string_view characters, char& found) {
    if (rest_.empty() || characters.find(rest_.front()) == std::string_view::npos) return false;
    found = rest_.front();
    rest_.remove_prefix(1);
    return true;
  }

  bool one(char expected) {
    char found = 0;
    return any_of({&expected, 1}, found);
  }

  // Digits after the point, as nanoseconds.
  bool fraction(std::int32_t& nanoseconds) {
    std::int32_t unit = 100'000'000;
    nanoseconds = 0;
    int digit = 0;
    std::size_t count = 0;
    while (count < 10 && digits(1, digit)) {
      nanoseconds += digit * unit;
      unit /= 10;
      ++count;
    }
    return count >= 1 && count <= 9;
  }

 private:
  std::string_view rest_;
};

bool read_time(DateReader& in, std::int64_t& seconds, std::int32_t& nanoseconds) {
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (!in.digits(2, hour) || !in.one(':') || !in.digits(2, minute)) return false;
  if (in.one(':')) {
    if (!in.digits(2, second)) return false;
    char point = 0;
    if (in.any_of(".,", point) && !in.fraction(nanoseconds)) return false;
  }
  const bool end_of_day = hour == 24 && minute == 0 && second == 0 && nanoseconds == 0;
  if ((hour > 23 && !end_of_day) || minute > 59 || second > 59) return false;
  seconds = (hour * 60 + minute) * 60 + second;
  return true;
}

// Seconds east of UTC; nothing there is UTC.
bool read_offset(DateReader& in, std::int64_t& seconds) {
  seconds = 0;
  char sign = 0;
  if (in.at_end() || in.any_of("Zz", sign)) return true;
  int hour = 0;
  int minute = 0;
  if (!in.any_of("+-", sign) || !in.digits(2, hour)) return false;
  const bool colon = in.one(':');
  if (!in.at_end() || colon) {
    if (!in.digits(2, minute)) return false;
  }
  if (hour > 23 || minute > 59) return false;
  seconds = (hour * 60 + minute) * 60 * (sign == '-' ? -1 : 1);
  return true;
}

}  // namespace

std::optional<Instant> parse_iso_date(std::string_view text) {
  DateReader in(text);
  int year = 0;
  int month = 0;
  int day = 0;
  if (!in.digits(4, year) || !in.one('-') || !in.digits(2, month) || !in.one('-') ||
      !in.digits(2, day)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date(std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok()) return std::nullopt;
  Instant instant;
  instant.seconds = std::int64_t{86'400} * std::chrono::sys_days(date).time_since_epoch().count();
  char separator = 0;
  if (in.any_of("Tt ", separator)) {
    std::int64_t time = 0;
    std::int64_t offset = 0;
    if (!read_time(in, time, instant.nanoseconds) || !read_offset(in, offset)) return std::nullopt;
    instant.seconds += time - offset;
  }
  if (!in.at_end()) return std::nullopt;
  return instant;
}

}  // namespace nestor
