// ISO 8601 dates as instants, so that "2024-05-01" and "2024-05-01T02:00:00+02:00" can be compared.
// Threads: free functions, safe anywhere.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

namespace nestor {

struct Instant {
  std::int64_t seconds = 0;      // since 1970-01-01T00:00:00 UTC, rounded down
  std::int32_t nanoseconds = 0;  // 0 to 999,999,999
  auto operator<=>(const Instant&) const = default;
};

// The instant of YYYY-MM-DD, alone (midnight) or with T (or a space) and HH:MM[:SS[.fraction]],
// then nothing, Z, +HH, +HHMM or +HH:MM. No offset means UTC; 24:00 is the end of the day; a
// fraction has 1 to 9 digits. Nothing for any other text. STORED: the field index keeps these
// instants, so a change of what is read here is a new format. Source: ISO 8601-1:2019, extended
// format.
std::optional<Instant> parse_iso_date(std::string_view text);

}  // namespace nestor
