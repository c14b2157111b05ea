// TextAnalyzer: what becomes a term in words, names of code and scripts without spaces, and that
// nothing of any size or any bytes breaks it.
#include "query/text_analysis.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

#include "storage/records.h"
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

// The stems in a line; what only stands beside the words (names, variants) in brackets.
std::string terms_of(TextAnalyzer& analyzer, std::string_view text) {
  std::string line;
  for (const TextToken& token : tokens_of(analyzer, text)) {
    std::string_view stem = token.term;
    stem = stem.substr(0, stem.find(storage::kFormMark));
    if (stem.starts_with(kLongWords)) stem.remove_prefix(kLongWords.size());
    const bool beside = token.term.ends_with("\1\1");
    line += fmt::format("{}{}{}{}", line.empty() ? "" : " ", beside ? "[" : "", stem,
                        beside ? "]" : "");
  }
  return line;
}

// The words of a query as they score, in a line; those beside others in brackets.
std::string query_of(TextAnalyzer& analyzer, std::string_view text) {
  const auto words = analyzer.analyze_query(text);
  REQUIRE_MESSAGE(words.ok(), words.status().to_string());
  std::string line;
  for (const QueryWord& word : words.value()) {
    std::string all;
    for (const TermsTogether& together : word.any) {
      all += all.empty() ? "" : "|";
      for (const TermLookup& lookup : together)
        all += (&lookup == together.data() ? "" : "+") + lookup.term;
    }
    if (word.written.empty()) all = "[" + all + "]";
    line += (line.empty() ? "" : " ") + all;
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
  CHECK(terms_of(*analyzer, "3.14 and 2,000") == "3.14 and 2000");
}

TEST_CASE("names of code stand whole and in parts") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "os.path.join") == "[ospathjoin] os path [.join] join");
  CHECK(terms_of(*analyzer, "snake_case") == "[snakecase] snake case");
  CHECK(terms_of(*analyzer, "getHTTPPage") == "[gethttppage] get http page");
  CHECK(terms_of(*analyzer, "getURLs") == "[geturls] get urls");
  CHECK(terms_of(*analyzer, "__init__") == "[__init__] init");
  CHECK(terms_of(*analyzer, "_ . __") == "");
  CHECK(terms_of(*analyzer, "kebab-case") == "[kebabcase] kebab case");
  CHECK(terms_of(*analyzer, "python3.11 v1.2.3") ==
        "[python311] [python3] python 3.11 [v1.2.3] [1.2] 1.2.3");
}

TEST_CASE("names with signs keep them, and a query does not look for their letters alone") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "C++ and C# in C") == "c++ and c# in c");
  CHECK(terms_of(*analyzer, "Notepad++ .NET R&D") == "[notepad++] notepad [.net] net [r&d] r d");
  CHECK(terms_of(*analyzer, "@mention #tag") == "[@mention] mention [#tag] tag");
  CHECK(terms_of(*analyzer, "tar -xzf --all a - b +- c") == "tar [-xzf] xzf all a b c");
  CHECK(query_of(*analyzer, "C++ C# .NET R&D AT&T Notepad++") == "c++ c# .net r&d at&t notepad++");
  CHECK(query_of(*analyzer, "@mention -rf") == "[@mention] mention [-rf] rf");
  CHECK(query_of(*analyzer, "Johnson&Johnson") == "[johnson&johnson] johnson johnson");
  // Neither a sharp nor pluses: a link, a heading, a sum.
  CHECK(terms_of(*analyzer, "a#b f#1") == "a b f# 1");
  CHECK(terms_of(*analyzer, "a+++ b+") == "a b");
}

TEST_CASE("words that an at sign joins are words, whatever ICU's version makes of it") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "anna@example.com") ==
        "[annaexamplecom] anna [examplecom] example [.com] com");
  CHECK(terms_of(*analyzer, "@scope/pkg") == "[@scope] scope pkg");
  CHECK(terms_of(*analyzer, "a @ b @@ c@") == "a b c");
}

TEST_CASE("numbers are what they say, in each of their spellings") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "1,000.50 1.000,50 1'000.50") == "1000.50 1000.50 1000.50");
  CHECK(terms_of(*analyzer, "192.168.0.1") == "[192.168] [192.168.0] 192.168.0.1");
  CHECK(terms_of(*analyzer, "2024-05-06") == "[2024-05-06] 2024 05 06");
  CHECK(terms_of(*analyzer, "\u0661\u0662\u0663") == "123");  // Arabic digits
  CHECK(terms_of(*analyzer, "utf8 OAuth2 10km 1st A4") ==
        "[utf] utf8 [oauth2] [oauth] o [auth] auth2 [km] [10] 10km 1st a4");
}

TEST_CASE("emoji and signs that stand for letters are words, ornaments are none") {
  const auto analyzer = must_make("none");
  CHECK(terms_of(*analyzer, "go \U0001F680!") == "go \U0001F680");
  CHECK(terms_of(*analyzer, "\U0001F44D\U0001F3FD") == "\U0001F44D");  // without the tone
  CHECK(tokens_of(*analyzer, "\U0001F468\u200D\U0001F469\u200D\U0001F467").size() == 1);
  CHECK(terms_of(*analyzer, "\u2122 \u00BD") == "tm 1\u20442");
  CHECK(terms_of(*analyzer, "x\u00B2 H\u2082O \u21165") == "[x2] x [h2o] h o [no5] 5");
  CHECK(terms_of(*analyzer, "\u2192 \u25AA \u2022 \u00A9 \u2026") == "");
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

TEST_CASE("the language decides about stems, an unknown one is named") {
  CHECK(terms_of(*must_make("german"), "H\xc3\xa4user") == "haus");
  CHECK(terms_of(*must_make("english"), "don't dog's") == "[dont] don't dog");
  CHECK(terms_of(*must_make("none"), "running \u043a\u043d\u0438\u0433\u0438") ==
        "running \u043a\u043d\u0438\u0433\u0438");
  const auto unknown = TextAnalyzer::make("klingon");
  CHECK(unknown.status().code() == StatusCode::kInvalidArgument);
  CHECK(unknown.status().message().find("german") != std::string::npos);
}

TEST_CASE("each script has its own stems, whatever the language of the collection") {
  for (const char* language : {"auto", "german"}) {
    const auto analyzer = must_make(language);
    // Russian "book" in two cases, Arabic with and without its article, Hindi plural and singular.
    CHECK(terms_of(*analyzer, "\u043a\u043d\u0438\u0433\u0438") ==
          terms_of(*analyzer, "\u043a\u043d\u0438\u0433\u0430"));
    CHECK(terms_of(*analyzer, "\u0648\u0627\u0644\u0643\u062a\u0627\u0628") ==
          "\u0643\u062a\u0627\u0628");
    CHECK(terms_of(*analyzer, "\u0915\u093f\u0924\u093e\u092c\u0947\u0902") ==
          "\u0915\u093f\u0924\u093e\u092c");
  }
}

TEST_CASE("an elided article is a word of its own, an English contraction is not") {
  const auto analyzer = must_make();
  CHECK(terms_of(*analyzer, "l'eau L\u2019\u00e9cole dell'acqua") ==
        "[leau] l eau [lecol] l ecol [dellacqua] dell acqua");
  CHECK(terms_of(*analyzer, "aujourd'hui rock'n'roll") ==
        "[aujourdhui] aujourd hui [rocknrol] rock n roll");
  CHECK(terms_of(*analyzer, "don\u2019t we'll it's 'tis'") == "[dont] don't [well] we'll it tis");
  CHECK(terms_of(*analyzer, "O\u2019Reilly\u2019s") == "[oreilli] o reilli");
  // Ukrainian: the apostrophe is a sign within the word.
  CHECK(terms_of(*must_make("none"), "\u043c'\u044f\u0442\u0430") == "\u043c\u044f\u0442\u0430");
}

TEST_CASE("a long word is cut and stays different from its like") {
  const auto analyzer = must_make("none");
  const auto one = tokens_of(*analyzer, std::string(5000, 'a') + "b");
  const auto other = tokens_of(*analyzer, std::string(5000, 'a') + "c");
  REQUIRE(one.size() == 1);
  REQUIRE(other.size() == 1);
  CHECK(one[0].term.size() == kMostStemBytes);
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
      CHECK(token.term.size() <= storage::kMostTermBytes);
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
        std::string("_"), std::string("a-"), std::string("a@b"), std::string("a\xc2\xb2"),
        std::string("1,"), std::string("\uc11c\uc6b8"), std::string("C++"),
        std::string("\u0e20\u0e32\u0e29\u0e32"), std::string("\u6771"), std::string("e\xcc\x81"),
        std::string("\xff"), std::string("\xcc\x81")}) {
    CAPTURE(piece);
    const double small = seconds_for(*analyzer, repeated(piece, std::size_t{1} << 17));
    const double large = seconds_for(*analyzer, repeated(piece, std::size_t{1} << 21));
    CHECK(large < 64 * small + 1);
  }
  const std::string words = repeated("ab ", std::size_t{1} << 24);
  CHECK(tokens_of(*analyzer, words).size() == words.size() / 3);
}

}  // namespace nestor::query
