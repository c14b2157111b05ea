#include "core/iso_date.h"

#include <doctest/doctest.h>

#include <string>

namespace nestor {

TEST_CASE("a date is its instant, whatever its spelling and offset") {
  CHECK(parse_iso_date("1970-01-01") == Instant{0, 0});
  CHECK(parse_iso_date("2000-02-29T12:00:00Z") == Instant{951'825'600, 0});
  CHECK(parse_iso_date("2000-02-29 14:00:00+02:00") == Instant{951'825'600, 0});
  CHECK(parse_iso_date("2000-02-29t06:30-0530") == Instant{951'825'600, 0});
  CHECK(parse_iso_date("2000-02-29T14:00:00+02") == Instant{951'825'600, 0});
  CHECK(parse_iso_date("1969-12-31T23:59:59.5") == Instant{-1, 500'000'000});
  CHECK(parse_iso_date("1969-12-31T23:59:59,123456789") == Instant{-1, 123'456'789});
  CHECK(parse_iso_date("1999-12-31T24:00") == parse_iso_date("2000-01-01"));
  CHECK(parse_iso_date("0000-01-01") < parse_iso_date("0001-01-01"));
  CHECK(parse_iso_date("9999-12-31T23:59:59-23:59").has_value());
}

TEST_CASE("what only looks like a date is none") {
  for (const std::string text : {"",
                                 "2024",
                                 "2024-05",
                                 "20240501",
                                 "2024-5-1",
                                 "2024-13-01",
                                 "2024-00-01",
                                 "2023-02-29",
                                 "2024-05-01T",
                                 "2024-05-01T12",
                                 "2024-05-01T25:00",
                                 "2024-05-01T24:01",
                                 "2024-05-01T12:60",
                                 "2024-05-01T12:00:60",
                                 "2024-05-01T12:00:00.",
                                 "2024-05-01T12:00:00.1234567890",
                                 "2024-05-01T12:00+",
                                 "2024-05-01T12:00+02:",
                                 "2024-05-01T12:00+24:00",
                                 "2024-05-01Z",
                                 "2024-05-01T12:00Zx",
                                 " 2024-05-01",
                                 "2024-05-01 ",
                                 "-024-05-01",
                                 "2024-05-01T12:00+0260"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_iso_date(text).has_value());
  }
}

}  // namespace nestor
