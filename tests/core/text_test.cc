#include "core/text.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

namespace nestor {
namespace {

// An encoder of its own, by the definition of UTF-8, for any number: also those that have no place.
std::string encoded(char32_t c) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | (c >> 6)), tail(0)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | (c >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (c >> 18)), tail(12), tail(6), tail(0)};
}

TEST_CASE("every code point is well-formed, every surrogate and number beyond is not") {
  int wrong = 0;
  for (char32_t c = 0; c < 0x140000; ++c) {
    const bool expected = c < 0x110000 && !(c >= 0xD800 && c <= 0xDFFF);
    const std::string bytes = encoded(c);
    if (find_invalid_utf8(bytes).has_value() == expected) ++wrong;
    if (expected && code_point_bytes(bytes, 0) != bytes.size()) ++wrong;
  }
  CHECK(wrong == 0);
}

// Table 3-7 as ranges: the second and third byte decide; the others are 80..BF everywhere.
bool well_formed_by_table(unsigned first, unsigned second, std::size_t count) {
  const auto in = [](unsigned byte, unsigned low, unsigned high) {
    return byte >= low && byte <= high;
  };
  if (count == 2) return in(first, 0xC2, 0xDF) && in(second, 0x80, 0xBF);
  if (count == 3) {
    return in(first, 0xE0, 0xEF) &&
           in(second, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
  }
  return in(first, 0xF0, 0xF4) &&
         in(second, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
}

TEST_CASE("every pair of first bytes is judged as table 3-7 has it") {
  int wrong = 0;
  for (unsigned first = 0x80; first < 0x100; ++first) {
    for (unsigned second = 0; second < 0x100; ++second) {
      for (const std::size_t count : {2, 3, 4}) {
        std::string bytes = {static_cast<char>(first), static_cast<char>(second)};
        bytes.append(count - 2, '\xBF');
        const bool well_formed = !find_invalid_utf8(bytes).has_value();
        if (well_formed != well_formed_by_table(first, second, count)) ++wrong;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("overlong forms, surrogates, cut tails and strange bytes are found at their offset") {
  // Each with the number of U+FFFD that WHATWG's decoder and Python's make of it.
  const std::vector<std::pair<const char*, int>> all = {{"\xC0\x80", 2},
                                                        {"\xC1\xBF", 2},
                                                        {"\xE0\x80\x80", 3},
                                                        {"\xE0\x9F\xBF", 3},
                                                        {"\xF0\x80\x80\x80", 4},
                                                        {"\xED\xA0\x80", 3},
                                                        {"\xF4\x90\x80\x80", 4},
                                                        {"\xED\xBF\xBF", 3},
                                                        {"\xF0\x8F\xBF\xBF", 4},
                                                        {"\xFE", 1},
                                                        {"\xF5\x80\x80\x80", 4},
                                                        {"\xFF", 1},
                                                        {"\x80", 1},
                                                        {"\xC3", 1},
                                                        {"\xE2\x82", 1},
                                                        {"\xF0\x9F\x98", 1}};
  for (const auto& [bad, count] : all) {
    const std::string text = std::string("gr\xC3\xBC") + bad;
    CHECK(find_invalid_utf8(text) == 4);
    CHECK(find_invalid_utf8(text + "x") == 4);
    const RepairedText repaired = replace_invalid_utf8(text + "x");
    std::string expected = "gr\xC3\xBC";
    for (int i = 0; i < count; ++i) expected += kReplacementCharacter;
    CHECK(repaired.text == expected + "x");
    CHECK(repaired.replaced_count == count);
  }
  CHECK_FALSE(find_invalid_utf8("").has_value());
  CHECK_FALSE(find_invalid_utf8(std::string_view("a\0b", 3)).has_value());
}

TEST_CASE("a repaired text is well-formed, well-formed text stays as it is") {
  const std::string fine = "na\xC3\xAFve \xE0\xB8\x81 \xF0\x9F\x98\x80";
  CHECK(replace_invalid_utf8(fine).text == fine);
  CHECK(replace_invalid_utf8(fine).replaced_count == 0);
  const RepairedText two = replace_invalid_utf8("\xFF\xFE\xFEx\x80");
  CHECK(two.replaced_count == 4);
  // A broken sequence does not swallow the good one behind it.
  CHECK(replace_invalid_utf8("\xE2\x82\xC3\xA9").text == "\xEF\xBF\xBD\xC3\xA9");
  CHECK(replace_invalid_utf8("\xC3\xC3\xA9").text == "\xEF\xBF\xBD\xC3\xA9");
  for (unsigned first = 0; first < 0x10000; ++first) {
    const std::string text = {static_cast<char>(first >> 8), static_cast<char>(first), '\x80', 'a'};
    REQUIRE_FALSE(find_invalid_utf8(replace_invalid_utf8(text).text).has_value());
  }
}

TEST_CASE("rounding down lands between code points and never farther back than needed") {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // 1, 2, 3, 4, 1 bytes
  const std::vector<std::size_t> expected = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (std::size_t bytes = 0; bytes < expected.size(); ++bytes) {
    CHECK(floor_to_code_point(text, bytes) == expected[bytes]);
  }
  CHECK(floor_to_code_point("", 5) == 0);
  CHECK(floor_to_code_point(text, std::string::npos) == text.size());
}

TEST_CASE("a run of stray tail bytes does not pull a cut back to its begin") {
  CHECK(floor_to_code_point(std::string(1000, '\x80'), 500) == 500);
  CHECK(floor_to_code_point("\xC3\xA9\x80\x80\x80\x80", 4) == 4);
  CHECK(quote_for_message(std::string(1000, '\x80'), 2) == "'\\x80\\x80…'");
}

TEST_CASE("what moves, hides or reorders is spelled out for a terminal") {
  CHECK(escape_for_terminal("\x1b[2J", false) == "\\x1b[2J");
  CHECK(escape_for_terminal("\x1b]8;;http://e\x07", false) == "\\x1b]8;;http://e\\x07");
  CHECK(escape_for_terminal("\xC2\x9B", false) == "\\x9b");  // C1 CSI as a code point
  CHECK(escape_for_terminal("\x9B", false) == "\\x9b");      // and as a byte
  CHECK(escape_for_terminal("\x7f\r", false) == "\\x7f\\x0d");
  CHECK(escape_for_terminal(std::string_view("\0", 1), false) == "\\x00");
  CHECK(escape_for_terminal("\xE2\x80\xAE", false) == "\\u{202e}");
  for (const char32_t c : std::initializer_list<char32_t>{
           0xAD,   0x34F,  0x61C,  0x115F, 0x180E, 0x200B,  0x200C,  0x200D,  0x200E,
           0x200F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2060,  0x2066,  0x2069,  0x206F,
           0x3164, 0xFEFF, 0xFFA0, 0xFFF9, 0xFFFB, 0x1D173, 0xE0001, 0xE0041, 0xE0FFF}) {
    const std::string escaped = escape_for_terminal(encoded(c), true);
    CHECK(escaped.starts_with('\\'));
    CHECK(escaped.find(encoded(c)) == std::string::npos);
  }
}

TEST_CASE("no byte string leaves a control byte or ill-formed UTF-8 behind") {
  for (unsigned pair = 0; pair < 0x10000; ++pair) {
    const std::string text = {static_cast<char>(pair >> 8), static_cast<char>(pair)};
    const std::string escaped = escape_for_terminal(text, false);
    REQUIRE_FALSE(find_invalid_utf8(escaped).has_value());
    for (const char byte : escaped) {
      const auto value = static_cast<unsigned char>(byte);
      REQUIRE(value >= 0x20);
      REQUIRE(value != 0x7F);
    }
  }
}

TEST_CASE("ordinary writing of the world stays as it is on a terminal") {
  for (const char* text :
       {"Grüße, «ça va»?", "ภาษาไทย", "日本語", "עברית", "emoji 😀 ❤️", "a\\b"}) {
    CHECK(escape_for_terminal(text, false) == text);
  }
}

TEST_CASE("line breaks and tabs stay only where lines are kept") {
  CHECK(escape_for_terminal("a\n\tb", true) == "a\n\tb");
  CHECK(escape_for_terminal("a\n\tb", false) == "a\\x0a\\x09b");
}

TEST_CASE("a quotation is cut between code points and says so") {
  CHECK(quote_for_message("short") == "'short'");
  CHECK(quote_for_message("") == "''");
  CHECK(quote_for_message("abc", 3) == "'abc'");
  CHECK(quote_for_message("abcd", 3) == "'abc…'");
  CHECK(quote_for_message("ab\xC3\xA9", 3) == "'ab…'");
  CHECK(quote_for_message("a\n\x1b\xff") == "'a\\x0a\\x1b\\xff'");
}

TEST_CASE("thousands are set apart, down to the lowest number") {
  CHECK(with_thousands(0) == "0");
  CHECK(with_thousands(999) == "999");
  CHECK(with_thousands(1000) == "1,000");
  CHECK(with_thousands(-1'234'567) == "-1,234,567");
  CHECK(with_thousands(-100) == "-100");
  CHECK(with_thousands(std::numeric_limits<std::int64_t>::min()) == "-9,223,372,036,854,775,808");
}

}  // namespace
}  // namespace nestor
