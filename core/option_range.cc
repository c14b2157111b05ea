#include "core/option_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include "core/check.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor {
namespace {

std::string bound_text(double bound, bool whole) {
  return whole ? with_thousands(static_cast<std::int64_t>(bound)) : fmt::format("{:g}", bound);
}

std::string expected(const NumberRange& range) {
  std::string text;
  if (range.high == ranges::kMost) {
    text = "a finite number";
  } else {
    text = fmt::format("{}{}{} to {}", range.whole ? "a whole number, " : "",
                       range.above_low ? "above " : "", bound_text(range.low, range.whole),
                       bound_text(range.high, range.whole));
  }
  if (*range.note != '\0') text += fmt::format(" ({})", range.note);
  return text;
}

Status outside(std::string_view name, std::string_view value, const NumberRange& range) {
  return {StatusCode::kInvalidArgument,
          fmt::format("{} is {}; {} is expected", name, value, expected(range))};
}

bool holds(const NumberRange& range, double value) {
  const bool above = range.above_low ? value > range.low : value >= range.low;
  return above && value <= range.high;  // false for a NaN
}

// The text as a message shows it: whatever was typed, and not more of it than is of use.
Status no_number(std::string_view name, std::string_view text, const NumberRange& range) {
  return outside(name, quote_for_message(text), range);
}

}  // namespace

Status check_number(std::string_view name, double value, const NumberRange& range) {
  const bool fits = holds(range, value) && (!range.whole || std::trunc(value) == value);
  return fits ? Status() : outside(name, fmt::format("{}", value), range);
}

Status check_number(std::string_view name, std::int64_t value, const NumberRange& range) {
  // Beyond 2^53 the conversion rounds, but not past an end of a range, which is a double itself.
  return holds(range, static_cast<double>(value)) ? Status()
                                                  : outside(name, std::to_string(value), range);
}

Result<double> parse_number(std::string_view name, std::string_view text,
                            const NumberRange& range) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end || !std::isfinite(value)) {
    return no_number(name, text, range);
  }
  NESTOR_RETURN_IF_ERROR(check_number(name, value, range));
  return value;
}

Result<std::int64_t> parse_whole_number(std::string_view name, std::string_view text,
                                        const NumberRange& range) {
  NESTOR_CHECK(range.whole, "the range is not one of whole numbers");
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stopped != end) return no_number(name, text, range);
  NESTOR_RETURN_IF_ERROR(check_number(name, value, range));
  return value;
}

Result<std::int64_t> parse_bytes(std::string_view name, std::string_view text,
                                 const NumberRange& range) {
  std::string_view digits = text;
  std::int64_t unit = 1;
  const std::size_t split = text.find_first_not_of("0123456789");
  if (split != text.npos && split > 0) {
    digits = text.substr(0, split);
    std::string suffix(text.substr(split));
    std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    constexpr std::array<char, 4> kUnits = {'K', 'M', 'G', 'T'};
    for (std::size_t i = 0; i < kUnits.size(); ++i) {
      const std::string letter(1, kUnits[i]);
      if (suffix == letter || suffix == letter + "B" || suffix == letter + "IB") {
        unit = std::int64_t{1} << (10 * (i + 1));
      }
    }
    if (unit == 1 && suffix != "B") return no_number(name, text, range);
  }
  std::int64_t value = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, value);
  const bool fits = error == std::errc() && stopped == end && value >= 0 &&
                    value <= std::numeric_limits<std::int64_t>::max() / unit;
  if (!fits) return no_number(name, text, range);
  NESTOR_RETURN_IF_ERROR(check_number(name, value * unit, range));
  return value * unit;
}

}  // namespace nestor
