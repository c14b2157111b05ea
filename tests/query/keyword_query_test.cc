// What was typed as keyword search understands it: which signs are orders and which are text.
#include "query/keyword_query.h"

#include <doctest/doctest.h>

#include <tuple>

#include "query/passage_terms.h"

namespace nestor::query {
namespace {

KeywordQuery parsed(const std::string& text) {
  auto analyzer = TextAnalyzer::make(kAutoLanguage);
  REQUIRE(analyzer.ok());
  auto query = parse_keyword_query(text, *analyzer.value());
  REQUIRE_MESSAGE(query.ok(), query.status().to_string());
  return std::move(query).value();
}

std::string texts_of(const std::vector<Phrase>& phrases) {
  std::string line;
  for (const Phrase& phrase : phrases) line += (line.empty() ? "" : "; ") + phrase.text;
  return line;
}

}  // namespace

TEST_CASE("a minus before a word excludes it") {
  for (const auto& [text, excluded] : std::vector<std::pair<std::string, std::string>>{
           {"undo -folder", "folder"},
           {"jaguar -car speed", "car"},
           {"-car jaguar", "car"},
           {"jaguar\t-car\n-Cats", "car; Cats"},
           {"jaguar -car, please", "car"},
           {"jaguar -\"big cat\"", "big cat"},
           {"jaguar -\"-car\"", "-car"},
           {"kernel -os.path -foo_bar -e-mail -web3", "os.path; foo_bar; e-mail; web3"},
           {"\uB3D9\uBB3C -\uACE0\uC591\uC774 -\u732B -\u00E5r",
            "\uACE0\uC591\uC774; \u732B; \u00E5r"},
       }) {
    CAPTURE(text);
    CHECK(texts_of(parsed(text).forbidden) == excluded);
    CHECK(parsed(text).required.empty());
  }
}

TEST_CASE("options of commands, numbers and lone signs are text") {
  for (const char* text :
       {"tar -xzf archive", "rm -rf build", "docker run -it --rm image", "git commit --amend",
        "gcc -O2 -std=c++20 -m32", "chmod +x run", "chmod -R +rw x", "date +%Y-%m-%d",
        "temperature -40 +5", "call +49 30 123", "a - b + c", "- -- + ++", "well-known e-mail",
        "-bash: command not found", "ls -l/tmp", "-", "+", "a-b -9a", "head -n 5"}) {
    CAPTURE(text);
    const KeywordQuery query = parsed(text);
    CHECK(query.forbidden.empty());
    CHECK(query.required.empty());
    if (std::string(text).find_first_of("abcdefghijklmnopqrstuvwxyz") != std::string::npos)
      CHECK_FALSE(query.terms.empty());
  }
}

TEST_CASE("an excluded word spares the passages that have it as an option, a quoted one does not") {
  const KeywordQuery query = parsed("find -name -\"type\"");
  REQUIRE(query.forbidden.size() == 2);
  REQUIRE(query.forbidden[0].unless.size() == 1);
  CHECK(query.forbidden[0].unless[0][0].term == "-name");
  CHECK(query.forbidden[1].unless.empty());
}

TEST_CASE("quotes and a plus require what is written, and score by it") {
  const KeywordQuery query = parsed("\"universal\" +cities cars");
  CHECK(texts_of(query.required) == "universal; cities");
  REQUIRE(query.terms.size() == 3);
  CHECK_FALSE(query.terms[0].any[0][0].forms);  // the word itself
  CHECK(query.terms[1].any[0][0].forms);        // by its stem
  CHECK(query.terms[2].any[0][0].forms);
  CHECK_FALSE(query.required[1].words[0].word[0][0].forms);
  CHECK(query.analysis == analysis_name(kAutoLanguage));
}

TEST_CASE("typographic quotation marks quote as typewriter ones do, each closed by its kind") {
  for (const auto& [text, required, excluded] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"\u201Cred fox\u201D den", "red fox", ""},  // English
           {"\u201Ered fox\u201C den", "red fox", ""},  // German
           {"\u201Dred fox\u201D den", "red fox", ""},  // Swedish
           {"\u00ABred fox\u00BB den", "red fox", ""},  // French
           {"\u00ABTolstoi\u00BB, \u00BBHaus\u00AB", "Tolstoi; Haus", ""},
           {"\uFF02red fox\uFF02", "red fox", ""},  // full width
           {"den -\u201Cred fox\u201D", "", "red fox"},
           {"\"the \u201Cred\u201D fox\"", "the \u201Cred\u201D fox", ""},
           {"a 5\" disk \u201Cred fox\u201D", "red fox", ""},
           {"\u201Cred fox", "", ""},
           {"den -\u201Cred fox", "", ""},
       }) {
    CAPTURE(text);
    CHECK(texts_of(parsed(text).required) == required);
    CHECK(texts_of(parsed(text).forbidden) == excluded);
    CHECK_FALSE((parsed(text).terms.empty() && parsed(text).forbidden.empty()));
  }
}

TEST_CASE("a quotation mark within a Hebrew abbreviation is part of the word") {
  const KeywordQuery query = parsed("\u05E6\u05D4\"\u05DC \"\u05E6\u05D4\"\u05DC\"");
  CHECK(texts_of(query.required) == "\u05E6\u05D4\"\u05DC");
}

}  // namespace nestor::query
