#include "core/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/text.h"

namespace nestor {
namespace {

std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = parse_json(text, limits);
  if (parsed.ok()) return "accepted";
  CHECK(parsed.status().code() == StatusCode::kInvalidArgument);
  CHECK_FALSE(find_invalid_utf8(parsed.status().message()).has_value());
  return parsed.status().message();
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("well-formed JSON is read as the library reads it") {
  for (const char* text :
       {"null", "true", "-1", "0.5", "\"\"", "[]", "{}", "[[],[1,[2,{}]],{}]",
        R"({"a":{"b":[1,2.5,{"c":null}],"d":{}},"e":"\u00e9\ud83d\ude00\u0000","f":-0.0})",
        " [ 1 , 2 ] \n", "\xEF\xBB\xBF{\"bom\":1}"}) {
    const auto parsed = parse_json(text);
    REQUIRE(parsed.ok());
    CHECK(parsed.value().dump() == nlohmann::json::parse(text).dump());
  }
}

// Containers stay open while others beside them are filled, in a tree wide enough to move its
// parts.
TEST_CASE("a wide and deep tree keeps every member in its place") {
  nlohmann::json tree = nlohmann::json::object();
  for (int i = 0; i < 300; ++i) {
    nlohmann::json& list = tree["m" + std::to_string(i)] = nlohmann::json::array();
    for (int j = 0; j < 40; ++j) list.push_back({{"i", i}, {"j", {j, {{"deep", {i, j}}}}}});
  }
  const auto parsed = parse_json(tree.dump());
  REQUIRE(parsed.ok());
  CHECK(parsed.value().dump() == tree.dump());
}

TEST_CASE("100,000 levels are refused where the limit is, without a stack overflow") {
  const std::string lists(100'000, '[');
  CHECK(refusal(lists) == "at byte 33: nested deeper than 32");
  CHECK(contains(refusal(lists + std::string(100'000, ']')), "nested deeper than 32"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(contains(refusal(objects), "nested deeper than 32"));
  CHECK(parse_json(std::string(32, '[') + std::string(32, ']')).ok());
  // Freeing recurses, so no limit lets more in than kMostJsonDepth.
  const JsonLimits deep{.most_depth = 100'000};
  CHECK(parse_json(std::string(1000, '[') + std::string(1000, ']'), deep).ok());
  CHECK(refusal(lists, deep) == "at byte 1001: nested deeper than 1000");
}

TEST_CASE(
    "a member's name that stands twice is refused with its place, also under another spelling") {
  CHECK(refusal(R"({"a":1,"a":2})") == "at byte 10: the member 'a' stands twice");
  CHECK(contains(refusal(R"([{"x":{"a":1,"\u0061":2}}])"), "the member 'a' stands twice"));
  CHECK(parse_json(R"({"a":{"a":1},"b":{"a":2}})").ok());
  CHECK(contains(refusal("{\"\\u001b\":1,\"\\u001b\":2}"), "'\\x1b' stands twice"));
}

TEST_CASE("values are counted wherever they stand") {
  const JsonLimits limits{.most_values = 3};
  CHECK(parse_json("[1,2]", limits).ok());
  CHECK(refusal("[1,2,3]", limits).ends_with("more than 3 values"));
  CHECK(refusal("[[],[],[]]", limits).ends_with("more than 3 values"));
  CHECK(refusal(R"({"a":1,"b":{},"c":null})", limits).ends_with("more than 3 values"));
}

TEST_CASE("a number that no double holds is refused, whole numbers beyond 64 bits are doubles") {
  CHECK(contains(refusal("[1e999]"), "number overflow parsing '1e999'"));
  CHECK(contains(refusal("-1e999"), "1e999"));
  CHECK(parse_json("1e308").value().get<double>() == 1e308);
  CHECK(parse_json("1e-999").value().get<double>() == 0.0);
  CHECK(parse_json("18446744073709551615").value().is_number_unsigned());
  CHECK(parse_json("18446744073709551616").value().is_number_float());
  CHECK(std::signbit(parse_json("-0.0").value().get<double>()));
}

TEST_CASE("ill-formed UTF-8 is refused inside strings, in names and outside") {
  for (const char* bad : {"\xff", "\xC0\x80", "\xED\xA0\x80", "\xE2\x82", "\xF4\x90\x80\x80"}) {
    CHECK(contains(refusal(std::string("[\"") + bad + "\"]"), "not JSON at byte"));
    CHECK(contains(refusal(std::string("{\"") + bad + "\":1}"), "not JSON at byte"));
    CHECK(contains(refusal(std::string("[1]") + bad), "not JSON at byte"));
  }
  CHECK(contains(refusal(R"("\ud800")"), "not JSON at byte"));
  CHECK(contains(refusal(R"("\udc00\ud800")"), "not JSON at byte"));
}

TEST_CASE("bytes after the end are refused, a NUL among them") {
  CHECK(contains(refusal("{} {}"), "not JSON at byte"));
  CHECK(contains(refusal("1,"), "not JSON at byte"));
  CHECK(refusal(std::string_view("{}\0", 3)) == "not JSON at byte 2: a NUL byte");
  CHECK(refusal(std::string_view("[1]\0garbage", 11)) == "not JSON at byte 3: a NUL byte");
  CHECK(refusal(std::string_view("\0", 1)) == "not JSON at byte 0: a NUL byte");
}

TEST_CASE("what is nearly JSON is refused with the byte, and nothing of it reaches a terminal") {
  for (const char* text :
       {"",        " ",         "{",      "[",       "[1,]", "{\"a\"}", "{a:1}",    "'a'",
        "01",      "1.",        "+1",     ".5",      "nul",  "NaN",     "Infinity", "-",
        "// x\n1", "/* x */ 1", "\"\n\"", "\"\\x\"", "\"a",  "[1 2]",   "\"\\u12\""}) {
    CHECK(contains(refusal(text), "not JSON at byte"));
  }
  CHECK(refusal("[\x1b]").find('\x1b') == std::string::npos);
  CHECK(refusal("[\"" + std::string(1'000'000, 'a')).size() < 300);
}

TEST_CASE("an empty view is no JSON") { CHECK(contains(refusal({}), "not JSON at byte")); }

}  // namespace
}  // namespace nestor
