// From the bytes of a file to a text, and back to where a passage is in the file.
#include "core/text_source.h"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "core/text.h"

namespace nestor {
namespace {

using Encoding = SourceMap::Encoding;

// The source of every range of whole characters decodes to that range. A byte order mark belongs to
// none of them.
void check_all_ranges(const std::string& bytes) {
  const DecodedText decoded = decode_text(bytes);
  REQUIRE_FALSE(find_invalid_utf8(decoded.text).has_value());
  CHECK(check_source(decoded.source, decoded.text).ok());
  std::vector<std::int64_t> starts;
  for (std::size_t at = 0; at < decoded.text.size(); at += code_point_bytes(decoded.text, at)) {
    starts.push_back(static_cast<std::int64_t>(at));
  }
  starts.push_back(static_cast<std::int64_t>(decoded.text.size()));
  std::string mark;
  for (const Encoding encoding :
       {Encoding::kUtf16Le, Encoding::kUtf16Be, Encoding::kUtf32Le, Encoding::kUtf32Be}) {
    if (decoded.source.encoding != encoding) continue;
    mark =
        bytes.substr(0, encoding == Encoding::kUtf16Le || encoding == Encoding::kUtf16Be ? 2 : 4);
  }
  for (std::size_t i = 0; i < starts.size(); ++i) {
    for (std::size_t j = i; j < starts.size(); ++j) {
      const ByteRange range = {starts[i], starts[j]};
      const ByteRange source = decoded.source.in_source(decoded.text, range);
      REQUIRE(source.begin <= source.end);
      REQUIRE(source.end <= static_cast<std::int64_t>(bytes.size()));
      const std::string part =
          bytes.substr(std::size_t(source.begin), std::size_t(source.end - source.begin));
      const std::string expected =
          decoded.text.substr(std::size_t(range.begin), std::size_t(range.end - range.begin));
      CHECK(decode_text(mark + part).text == expected);
    }
  }
}

std::string utf16(const std::u16string& units, bool big_endian) {
  std::string bytes = big_endian ? "\xFE\xFF" : "\xFF\xFE";
  for (const char16_t unit : units) {
    const char low = static_cast<char>(unit);
    const char high = static_cast<char>(unit >> 8);
    bytes += big_endian ? high : low;
    bytes += big_endian ? low : high;
  }
  return bytes;
}

}  // namespace

TEST_CASE("a text in UTF-8 is its file, byte for byte") {
  const std::string text = "na\xC3\xAFve\r\n\xF0\x9F\x98\x80 text\n";
  const DecodedText decoded = decode_text(text);
  CHECK(decoded.text == text);
  CHECK(decoded.source.is_identity());
  CHECK(decoded.source.in_source(text, {3, 9}) == ByteRange{3, 9});
}

TEST_CASE("a byte order mark is taken off and counted in") {
  const DecodedText decoded = decode_text("\xEF\xBB\xBF# Title\n");
  CHECK(decoded.text == "# Title\n");
  CHECK(decoded.replaced_count == 0);
  CHECK_FALSE(decoded.source.is_identity());
  CHECK(decoded.source.in_source(decoded.text, {0, 7}) == ByteRange{3, 10});
  check_all_ranges("\xEF\xBB\xBF# Title\n");
}

TEST_CASE("ill-formed sequences become one U+FFFD each, and what stands behind keeps its place") {
  const DecodedText decoded = decode_text("caf\xE9 \x82\xB1\x82 ok \xE2\x82z\xF0\x9F\x98");
  const std::string r(kReplacementCharacter);
  CHECK(decoded.text == "caf" + r + " " + r + r + r + " ok " + r + "z" + r);
  CHECK(decoded.replaced_count == 6);
  // A run of sequences of one length is one change.
  CHECK(decoded.source.changes.size() == 4);
  const auto ok = static_cast<std::int64_t>(decoded.text.find("ok"));
  CHECK(decoded.source.in_source(decoded.text, {ok, ok + 2}) == ByteRange{9, 11});
  check_all_ranges("caf\xE9 \x82\xB1\x82 ok \xE2\x82z\xF0\x9F\x98");
  check_all_ranges("\xEF\xBB\xBF\xFF\xFD mark and damage\xFF");
}

TEST_CASE("UTF-16 and UTF-32 with a mark are converted, lone surrogates replaced") {
  const std::u16string text = u"Caf\u00E9 \u6771\u4EAC \U0001F600\r\nend";
  const std::string expected = "Caf\xC3\xA9 \xE6\x9D\xB1\xE4\xBA\xAC \xF0\x9F\x98\x80\r\nend";
  for (const bool big_endian : {false, true}) {
    const std::string bytes = utf16(text, big_endian);
    const DecodedText decoded = decode_text(bytes);
    CHECK(decoded.text == expected);
    CHECK(decoded.source.encoding == (big_endian ? Encoding::kUtf16Be : Encoding::kUtf16Le));
    check_all_ranges(bytes);
  }
  std::u16string broken = u"a";
  broken += char16_t(0xD800);
  broken += u"b";
  broken += char16_t(0xDC00);
  const DecodedText decoded = decode_text(utf16(broken, false));
  CHECK(decoded.replaced_count == 2);
  check_all_ranges(utf16(broken, false));
  // A byte that is no unit is left out, and counted.
  CHECK(decode_text(utf16(u"ab", false) + "x").text == "ab");
  CHECK(decode_text(utf16(u"ab", false) + "x").replaced_count == 1);
  const std::string utf32 = {'\xFF', '\xFE', 0, 0, 'h', 0, 0, 0,
                             '\x00', '\xF6', 1, 0, 'i', 0, 0, 0};
  CHECK(decode_text(utf32).text == "h\xF0\x9F\x98\x80i");
  check_all_ranges(utf32);
}

TEST_CASE("any bytes become a text whose ranges lead back") {
  std::mt19937 random(5);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    const int mode = static_cast<int>(random() % 4);
    if (mode == 1) bytes = "\xEF\xBB\xBF";
    if (mode == 2) bytes = random() % 2 == 0 ? "\xFF\xFE" : "\xFE\xFF";
    const std::string alphabet = "ab \xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xED\xFF\n";
    for (std::uint32_t left = random() % 24; left > 0; --left) {
      bytes += mode == 3 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
    }
    if (encoding_of(bytes) == Encoding::kUtf8) check_all_ranges(bytes);
    CHECK(check_source(decode_text(bytes).source, decode_text(bytes).text).ok());
  }
}

TEST_CASE("a map that is none of its text is refused") {
  const std::string text =
      "ab\xEF\xBF\xBD"
      "cd";
  CHECK(check_source({.changes = {{0, 0, 3}, {2, 3, 1}}}, text).ok());
  for (const std::vector<SourceMap::Change>& wrong :
       std::vector<std::vector<SourceMap::Change>>{{{2, 3, 1}, {2, 3, 1}},
                                                   {{-1, 3, 1}},
                                                   {{2, 2, 1}},
                                                   {{2, -3, 1}},
                                                   {{2, 3, 0}},
                                                   {{6, 3, 1}},
                                                   {{0, 3, 1}},
                                                   {{2147483647, 3, 1}}}) {
    CHECK(check_source({.changes = wrong}, text).code() == StatusCode::kInvalidArgument);
  }
  CHECK_FALSE(check_source({.encoding = Encoding::kUtf16Le, .changes = {{0, 0, 3}}}, text).ok());
  CHECK_FALSE(check_source({.encoding = static_cast<Encoding>(9)}, text).ok());
}

TEST_CASE("encodings are told by their names") {
  for (const Encoding encoding : {Encoding::kUtf8, Encoding::kUtf16Le, Encoding::kUtf16Be,
                                  Encoding::kUtf32Le, Encoding::kUtf32Be}) {
    CHECK(parse_encoding(encoding_name(encoding)).value() == encoding);
  }
  CHECK(parse_encoding("latin1").status().code() == StatusCode::kInvalidArgument);
}

}  // namespace nestor
