#include "core/option_range.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

namespace nestor {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST_CASE("no range takes a NaN or an infinity") {
  for (const NumberRange& range :
       {ranges::kMinScore, ranges::kVectorWeight, ranges::kRankConstant, ranges::kUnlikeWeight,
        ranges::kRecallTarget, ranges::kTimeoutSeconds, ranges::kHits}) {
    for (const double value : {kNan, kInfinity, -kInfinity}) {
      CHECK_FALSE(check_number("x", value, range).ok());
    }
    for (const char* text : {"nan", "NaN", "-nan", "inf", "-inf", "infinity", "1e999", "", " ", "x",
                             "1x", "0x1p3", "1,0", " 1", "1 ", "+1"}) {
      CHECK_FALSE_MESSAGE(parse_number("x", text, range).ok(), text);
    }
    CHECK_FALSE(parse_number("x", std::string(400, '9'), range).ok());
  }
}

TEST_CASE("the ends of a range belong to it, but for an excluded one") {
  CHECK(check_number("k", 1, ranges::kHits).ok());
  CHECK(check_number("k", 10'000, ranges::kHits).ok());
  CHECK_FALSE(check_number("k", 0, ranges::kHits).ok());
  CHECK_FALSE(check_number("k", 10'001, ranges::kHits).ok());
  CHECK(check_number("w", 0.0, ranges::kVectorWeight).ok());
  CHECK(check_number("w", 1.0, ranges::kVectorWeight).ok());
  CHECK_FALSE(check_number("w", std::nextafter(1.0, 2.0), ranges::kVectorWeight).ok());
  CHECK_FALSE(check_number("r", 0.0, ranges::kRecallTarget).ok());
  CHECK(check_number("r", 4.9e-324, ranges::kRecallTarget).ok());
}

TEST_CASE("integers beyond every double are outside") {
  for (const std::int64_t value :
       {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
    CHECK_FALSE(check_number("offset", value, ranges::kOffset).ok());
    CHECK_FALSE(check_number("limit", value, ranges::kListLimit).ok());
  }
}

TEST_CASE("whole numbers are typed as digits") {
  CHECK(parse_whole_number("k", "10", ranges::kHits).value() == 10);
  for (const char* text : {"1.0", "1e3", "", "-1", "-0.5", "0x10", "10 ", "nan",
                           "99999999999999999999999999", "18446744073709551617"}) {
    CHECK_FALSE_MESSAGE(parse_whole_number("k", text, ranges::kHits).ok(), text);
  }
}

TEST_CASE("a refusal names the option, what was found and what is expected") {
  CHECK(check_number("k", 0, ranges::kHits).message() ==
        "k is 0; a whole number, 1 to 10,000 is expected");
  CHECK(parse_number("--timeout", "nan", ranges::kTimeoutSeconds).status().message() ==
        "--timeout is 'nan'; 1e-06 to 1e+06 is expected");
  CHECK(check_number("recall_target", 0.0, ranges::kRecallTarget).message() ==
        "recall_target is 0; above 0 to 1 (1: an exact search) is expected");
  CHECK(check_number("min_score", kNan, ranges::kMinScore).message() ==
        "min_score is nan; a finite number is expected");
}

TEST_CASE("bytes take a unit of 1,024 and overflow nowhere") {
  CHECK(parse_bytes("m", "512M", ranges::kMemoryBytes).value() == std::int64_t{512} << 20);
  CHECK(parse_bytes("m", "3gib", ranges::kMemoryBytes).value() == std::int64_t{3} << 30);
  CHECK(parse_bytes("m", "64kB", ranges::kMemoryBytes).value() == 64 << 10);
  CHECK(parse_bytes("m", "7", ranges::kMemoryBytes).value() == 7);
  CHECK(parse_bytes("m", "7B", ranges::kMemoryBytes).value() == 7);
  for (const char* text : {"", "M", "-1M", "1.5G", "1X", "1MM", "nan", "inf", "1e300",
                           "9223372036854775807T", "99999999999999999999", "0x10M", "1 M"}) {
    CHECK_FALSE_MESSAGE(parse_bytes("m", text, ranges::kMemoryBytes).ok(), text);
  }
}

}  // namespace
}  // namespace nestor
