// TextAnalyzer: what becomes a term in words, names of code and scripts without spaces, and that
// nothing of any size or any bytes breaks it.
#include "query/text_analysis.h"

#include <doctest/doctest.h>

#include <random>

#include "tests/support/cpu_time.h"

namespace nestor::query {
namespace {

std::unique_ptr<TextAnalyzer> must_make(const std::string& language = kAutoLanguage) {
  auto made = TextAnalyzer::make(language);
  REQUIRE_MESSAGE(made.ok(), made.status().to_string());
  return std::move(made).value();
}

std::vector<TextToken> tokens_of(TextAnalyzer& analyzer, std::string_view text) {
  std::vector<TextToken> tokens;
  const auto end = analyzer.analyze(text, 0, tokens);
  REQUIRE_MESSAGE(end.ok(), end.status().to_string());
  return tokens;
}

// The terms in a line; a whole name in brackets.
std::string terms_of(TextAnalyzer& analyzer, std::string_view text) {
  std::string line;
  for (const TextToken& token : tokens_of(analyzer, text)) {
    line += line.empty() ? "" : " ";
    line += token.whole ? "[" + token.term + "]" : token.term;
  }
  return line;
}

double seconds_for(TextAnalyzer& analyzer, const std::string& text) {
  const double start = nestor::testing::thread_seconds();
  tokens_of(analyzer, text);
  return nestor::testing::thread_seconds() - start;
}

std::string repeated(const std::string& piece, std::size_t bytes) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

}  // namespace

TEST_CASE("words are folded and stemmed, whatever their case and accents") {
  const auto analyzer = must_make();
  CHECK(terms_of(*analyzer, "Running RUNS, run!") == "run run run");
  CHECK(terms_of(*analyzer, "R\xc3\xa9sum\xc3\xa9 resume") == "resum resum");
  CHECK(terms_of(*analyzer, "\xef\xac\x81le file") == "file file");  // the ligature fi
  CHECK(terms_of(*analyzer,
                 "Stra\xc3\x9f"
                 "e STRASSE") == "strass strass");
  CHECK(terms_of(*analyzer, "3.14 and 2,000") == "3.14 and 2,000");
}

TEST_CASE("names of code stand whole and in parts") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "os.path.join") == "[os.path.join] os path join");
  CHECK(terms_of(*analyzer, "snake_case") == "[snake_case] snake case");
  CHECK(terms_of(*analyzer, "getHTTPPage") == "[gethttppage] get http page");
  CHECK(terms_of(*analyzer, "__init__") == "[__init__] init");
  CHECK(terms_of(*analyzer, "_ . __") == "");
}

TEST_CASE("positions count parts and byte offsets point at what was read") {
  const auto analyzer = must_make("none");
  const std::string text = "a fooBar \xc3\xa4z";
  const auto tokens = tokens_of(*analyzer, text);
  REQUIRE(tokens.size() == 5);
  const std::uint32_t positions[] = {0, 1, 1, 2, 3};
  for (std::size_t i = 0; i < 5; ++i) CHECK(tokens[i].position == positions[i]);
  CHECK(text.substr(tokens[1].begin, tokens[1].end - tokens[1].begin) == "fooBar");
  CHECK(text.substr(tokens[3].begin, tokens[3].end - tokens[3].begin) == "Bar");
  CHECK(text.substr(tokens[4].begin, tokens[4].end - tokens[4].begin) == "\xc3\xa4z");
}

TEST_CASE("scripts without spaces are cut by dictionary and keep their vowel signs") {
  const auto analyzer = must_make();
  // "Thai language": two words.
  CHECK(terms_of(*analyzer, "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22") ==
        "\u0e20\u0e32\u0e29\u0e32 \u0e44\u0e17\u0e22");
  CHECK(tokens_of(*analyzer, "\u6771\u4eac\u90fd\u306b\u4f4f\u3080").size() >= 3);
  CHECK(terms_of(*analyzer, "\u0e17\u0e35\u0e48") == "\u0e17\u0e35\u0e48");
}

TEST_CASE("the language decides about stems and apostrophes, an unknown one is named") {
  CHECK(terms_of(*must_make("german"), "H\xc3\xa4user") == "haus");
  CHECK(terms_of(*must_make("french"), "l'eau") == "[l'eau] l eau");
  CHECK(terms_of(*must_make("english"), "don't dog's") == "don't dog");
  const auto unknown = TextAnalyzer::make("klingon");
  CHECK(unknown.status().code() == StatusCode::kInvalidArgument);
  CHECK(unknown.status().message().find("german") != std::string::npos);
}

TEST_CASE("a long word is cut and stays different from its like") {
  const auto analyzer = must_make("none");
  const auto one = tokens_of(*analyzer, std::string(5000, 'a') + "b");
  const auto other = tokens_of(*analyzer, std::string(5000, 'a') + "c");
  REQUIRE(one.size() == 1);
  REQUIRE(other.size() == 1);
  CHECK(one[0].term.size() == kMostTermBytes);
  CHECK(one[0].term != other[0].term);
}

TEST_CASE("any bytes give valid terms and offsets") {
  const auto analyzer = must_make();
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text(random() % 200, '\0');
    for (char& c : text) c = static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
    std::uint32_t last = 0;
    for (const TextToken& token : tokens_of(*analyzer, text)) {
      CHECK(token.begin < token.end);
      CHECK(token.end <= text.size());
      CHECK(!token.term.empty());
      CHECK(token.term.size() <= kMostTermBytes);
      CHECK(token.term.find('\0') == std::string::npos);
      CHECK(token.position >= last);
      last = token.position;
    }
  }
}

TEST_CASE("time grows with the text and no faster, whatever it is made of, up to 16 MiB") {
  const auto analyzer = must_make();
  for (const std::string& piece :
       {std::string("some words, "), std::string("a"), std::string("a."), std::string("aB"),
        std::string("_"), std::string("\u0e20\u0e32\u0e29\u0e32"), std::string("\u6771"),
        std::string("e\xcc\x81"), std::string("\xff"), std::string("\xcc\x81")}) {
    CAPTURE(piece);
    const double small = seconds_for(*analyzer, repeated(piece, std::size_t{1} << 17));
    const double large = seconds_for(*analyzer, repeated(piece, std::size_t{1} << 21));
    CHECK(large < 64 * small + 1);
  }
  const std::string words = repeated("ab ", std::size_t{1} << 24);
  CHECK(tokens_of(*analyzer, words).size() == words.size() / 3);
}

}  // namespace nestor::query
