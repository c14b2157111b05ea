#include "query/snippet.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "core/text.h"

namespace nestor::query {
namespace {

class Maker {
 public:
  Maker() : analyzer_(must_make()), maker_(*analyzer_) {}

  Snippet make(std::string_view passage, const std::string& query, std::int64_t bytes = 200) {
    const auto parsed = parse_keyword_query(query, *analyzer_);
    REQUIRE(parsed.ok());
    auto snippet = maker_.make(passage, parsed.value(), bytes);
    REQUIRE_MESSAGE(snippet.ok(), snippet.status().to_string());
    return std::move(snippet).value();
  }

 private:
  static std::unique_ptr<TextAnalyzer> must_make() {
    auto made = TextAnalyzer::make(kAutoLanguage);
    REQUIRE(made.ok());
    return std::move(made).value();
  }
  std::unique_ptr<TextAnalyzer> analyzer_;
  SnippetMaker maker_;
};

std::string_view part(std::string_view text, const ByteRange& range) {
  return text.substr(static_cast<std::size_t>(range.begin),
                     static_cast<std::size_t>(range.end - range.begin));
}

std::string filler(std::size_t words) {
  std::string text;
  for (std::size_t i = 0; i < words; ++i) text += "lorem ";
  return text;
}

}  // namespace

TEST_CASE("the window shows the most different words of the query") {
  Maker maker;
  const std::string text =
      filler(100) + "keys keys " + filler(100) + "rotating the keys daily " + filler(100);
  const Snippet snippet = maker.make(text, "rotate keys");
  CHECK(part(text, snippet.bytes).find("rotating the keys") != std::string_view::npos);
  REQUIRE(snippet.matches.size() == 2);
  CHECK(part(text, snippet.matches[0]) == "rotating");
  CHECK(part(text, snippet.matches[1]) == "keys");
  CHECK(part(text, snippet.bytes).size() <= 210);
  CHECK(part(text, snippet.bytes).size() >= 150);
  CHECK(part(text, snippet.bytes).starts_with("lorem"));
  CHECK(part(text, snippet.bytes).ends_with("lorem"));
}

TEST_CASE("without a match it is the beginning, and a short passage is whole") {
  Maker maker;
  const std::string text = filler(100);
  CHECK(maker.make(text, "absent").bytes.begin == 0);
  CHECK(maker.make(text, "absent").matches.empty());
  CHECK(maker.make("  short words ", "words").bytes == ByteRange{2, 13});
  CHECK(maker.make("", "words").bytes == ByteRange{0, 0});
  CHECK(maker.make("end here", "here").matches.size() == 1);
}

TEST_CASE("no code point and no grapheme cluster is cut, and matches lie inside, apart") {
  Maker maker;
  std::mt19937_64 random(17);
  const std::vector<std::string> pieces = {"e\u0301",
                                           "\U0001F468\u200D\U0001F469\u200D\U0001F467",
                                           "\u0e20\u0e32\u0e29\u0e32",
                                           "word",
                                           " ",
                                           "\n",
                                           "fooBar",
                                           "\u6771\u4eac"};
  TextBreaks breaks;
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (std::uint64_t left = random() % 200; left > 0; --left)
      text += pieces[random() % pieces.size()];
    const Snippet snippet =
        maker.make(text, "word foo \u6771\u4eac", 1 + static_cast<int>(random() % 80));
    const auto ends = breaks.grapheme_ends(text);
    REQUIRE(ends.ok());
    std::set<std::int64_t> borders(ends.value().begin(), ends.value().end());
    borders.insert(0);
    CHECK(borders.contains(snippet.bytes.begin));
    CHECK(borders.contains(snippet.bytes.end));
    CHECK(snippet.bytes.begin <= snippet.bytes.end);
    std::int64_t last = snippet.bytes.begin;
    for (const ByteRange& match : snippet.matches) {
      CHECK(match.begin >= last);
      CHECK(match.end <= snippet.bytes.end);
      CHECK(!find_invalid_utf8(part(text, match)).has_value());
      last = match.end;
    }
  }
}

TEST_CASE("of a quoted word only the word as written is a match") {
  Maker maker;
  const std::string text = "universal, university, universities and Universit\xc3\xa9";
  const auto matches_of = [&](const std::string& query) {
    std::string line;
    for (const ByteRange& match : maker.make(text, query).matches)
      line += std::string(line.empty() ? "" : " ").append(part(text, match));
    return line;
  };
  CHECK(matches_of("university") == "universal university universities");
  CHECK(matches_of("\"university\"") == "university");
  CHECK(matches_of("\"Universite\"") == "Universit\xc3\xa9");
  CHECK(matches_of("university -universal") == "universal university universities");
}

TEST_CASE("what was found within a word is marked there, a name as a whole") {
  Maker maker;
  const auto match_of = [&](std::string_view text, const std::string& query) {
    const Snippet snippet = maker.make(text, query);
    REQUIRE(snippet.matches.size() == 1);
    return std::string(part(text, snippet.matches[0]));
  };
  CHECK(match_of("\uc11c\uc6b8\uc740 \ud06c\ub2e4", "\uc11c\uc6b8") == "\uc11c\uc6b8");
  CHECK(match_of("\u5317\u4eac\u5927\u5b66\u751f", "\u5927\u5b66") == "\u5927\u5b66");
  CHECK(match_of("the user_id here", "userId") == "user_id");
  CHECK(match_of("the user_id here", "user") == "user");
  CHECK(match_of("in C++ there", "c++") == "C++");
  CHECK(match_of("der Donaudampfschifffahrtskapit\xc3\xa4n", "Schifffahrt") ==
        "Donaudampfschifffahrtskapit\xc3\xa4n");
  CHECK(match_of("Stra\xc3\x9f"
                 "e",
                 "strasse") ==
        "Stra\xc3\x9f"
        "e");
}

TEST_CASE("a match is shown whole even where the window is smaller") {
  Maker maker;
  const std::string text = filler(50) + "internationalisation " + filler(50);
  const Snippet snippet = maker.make(text, "internationalisation", 5);
  REQUIRE(snippet.matches.size() == 1);
  CHECK(part(text, snippet.matches[0]) == "internationalisation");
}

}  // namespace nestor::query
