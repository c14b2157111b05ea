#include "core/json_value.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/json.h"

namespace nestor {
namespace {

JsonValue parsed(std::string_view text) { return parse_json(text).value(); }

TEST_CASE("what was moved from is null, and a part can take the place of the whole") {
  JsonValue whole = parsed(R"({"a":[1,{"b":"text"}]})");
  JsonValue taken = std::move(whole);
  CHECK(whole.is_null());
  taken = std::move(taken.members()["a"]);
  CHECK(taken.dump() == R"([1,{"b":"text"}])");
  taken = std::move(taken.elements()[1].members()["b"]);
  CHECK(taken.take_text() == "text");
  JsonValue list = parsed("[[[3]]]");
  list = std::move(list.elements()[0]);
  CHECK(list.dump() == "[[3]]");
}

TEST_CASE("values are equal when kind and content are") {
  const char* const texts[] = {"null",  "true",  "false",     "1",         "-1",
                               "1.0",   "\"a\"", "\"\"",      "[]",        "[1]",
                               "[1,2]", "{}",    "{\"a\":1}", "{\"a\":2}", "{\"b\":1}"};
  for (const char* left : texts) {
    for (const char* right : texts) {
      CHECK((parsed(left) == parsed(right)) == (std::string_view(left) == right));
    }
  }
  CHECK(parsed("\"a\"") == "a");
  CHECK(parsed("null") == nullptr);
  CHECK(parsed("true") == true);
}

TEST_CASE("a value is asked for what it is not: no member, no size, an exception for its content") {
  for (const char* text : {"null", "true", "1", "-1", "1.5", "\"abc\""}) {
    const JsonValue value = parsed(text);
    CHECK(value.find("a") == nullptr);
    CHECK(value.size() == 0);
    CHECK_THROWS_AS(static_cast<void>(value.elements()), std::bad_variant_access);
    CHECK_THROWS_AS(static_cast<void>(value.members()), std::bad_variant_access);
  }
  CHECK(parsed("[1]").find("a") == nullptr);
  CHECK_THROWS_AS(static_cast<void>(parsed("[1]").text()), std::bad_variant_access);
  CHECK_THROWS_AS(static_cast<void>(parsed("1").get<bool>()), std::bad_variant_access);
  CHECK_THROWS_AS(static_cast<void>(parsed("true").get<double>()), std::bad_variant_access);
}

TEST_CASE("whole numbers are compared with bounds whatever their sign and size") {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  CHECK(parsed("5").is_whole_between(5, 5));
  CHECK(parsed("-5").is_whole_between(-5, -5));
  CHECK_FALSE(parsed("-5").is_whole_between(0, 9));
  CHECK_FALSE(parsed("5").is_whole_between(-9, 4));
  CHECK(parsed("9223372036854775807").is_whole_between(kLeast, kMost));
  CHECK_FALSE(parsed("9223372036854775808").is_whole_between(kLeast, kMost));
  CHECK_FALSE(parsed("18446744073709551615").is_whole_between(-1, kMost));
  CHECK(parsed("-9223372036854775808").is_whole_between(kLeast, 0));
  CHECK_FALSE(parsed("1.0").is_whole_between(0, 9));
  CHECK_FALSE(parsed("\"1\"").is_whole_between(0, 9));
}

}  // namespace
}  // namespace nestor
