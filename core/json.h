// JSON from strangers: depth, member count, duplicate names and UTF-8 are checked while it is read.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/json_value.h"
#include "nestor/status.h"

namespace nestor {

// Whatever the limit: destroying a value recurses.
inline constexpr int kMostJsonDepth = 1'000;

struct JsonLimits {
  int most_depth = 32;                   // more than kMostJsonDepth is that
  std::int64_t most_values = 1'000'000;  // values of any kind, members and elements counted
  // Where a whole number that neither 64 bits nor a double hold exactly is refused instead of
  // rounded: below this member of the outermost object; empty: everywhere; null: nowhere.
  const char* exact_below = nullptr;
};

// Errors: kInvalidArgument with the byte offset and the cause: not JSON, too deep, too many values,
// a duplicate member name, ill-formed UTF-8, a number that no double holds, bytes after the end.
Result<JsonValue> parse_json(std::string_view text, const JsonLimits& limits = {});

// Whether a number as it was written is a whole one that `value` is not, for want of digits.
bool is_rounded(std::string_view written, double value);
// Why such a number is refused, and what to write.
std::string rounded_number_text(std::string_view written);

}  // namespace nestor
