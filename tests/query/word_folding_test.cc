// Each fold of each script, and what stays.
#include "query/word_folding.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace nestor::query {
namespace {

std::string fold(const WordFolder& folder, const std::string& word,
                 Accents accents = Accents::kDrop, bool turkish = false) {
  auto folded = folder.fold(word, accents, turkish);
  REQUIRE_MESSAGE(folded.ok(), folded.status().to_string());
  return std::move(folded).value();
}

}  // namespace

TEST_CASE("words are folded to what is typed, and folding twice changes nothing") {
  const auto folder = WordFolder::make();
  REQUIRE(folder.ok());
  for (const auto& [word, expected] : std::vector<std::pair<std::string, std::string>>{
           {"\u00C5ngstr\u00F6m", "angstrom"},
           {"\u0130STANBUL", "istanbul"},
           {"\u0131\u015F\u0131k", "isik"},
           {"\u0141\u00F3d\u017A", "lodz"},
           {"\u00D8rsted", "orsted"},
           {"\u00C6sop", "aesop"},
           {"\u00DE\u00F3r", "thor"},
           {"STRA\u1E9EE", "strasse"},
           {"\uFB01\uFB02", "fifl"},
           {"\uFF21\uFF11", "a1"},
           {"so\u00ADft", "soft"},
           {"\u039F\u03B4\u03C5\u03C3\u03C3\u03B5\u03CD\u03C2",
            "\u03BF\u03B4\u03C5\u03C3\u03C3\u03B5\u03C5\u03C3"},
           {"\u1F08\u03B8\u1FC6\u03BD\u03B1\u03B9", "\u03B1\u03B8\u03B7\u03BD\u03B1\u03B9"},
           {"\u0401\u043B\u043A\u0430", "\u0435\u043B\u043A\u0430"},  // yo is ye
           {"\u043C\u043E\u0439", "\u043C\u043E\u0439"},              // short i stays
           {"\u0457\u0436\u0430", "\u0457\u0436\u0430"},              // yi stays
           {"\u043D\u0430\u0301\u0434\u043E", "\u043D\u0430\u0434\u043E"},
           {"\u0645\u064F\u062D\u064E\u0645\u0651\u064E\u062F", "\u0645\u062D\u0645\u062F"},
           {"\u0627\u0644\u0645\u0640\u0640\u062F", "\u0627\u0644\u0645\u062F"},
           {"\u0623\u0625\u0622\u0671", "\u0627\u0627\u0627\u0627"},
           {"\u06A9\u06CC", "\u0643\u064A"},
           {"\u06C1\u06BE\u0629", "\u0647\u0647\u0647"},
           {"\u05E9\u05C1\u05B8\u05DC\u05D5\u05B9\u05DD", "\u05E9\u05DC\u05D5\u05DD"},
           {"\u05E6\u05D4\u05F4\u05DC", "\u05E6\u05D4\u05DC"},
           {"\u0939\u093F\u0928\u094D\u0926\u0940", "\u0939\u093F\u0902\u0926\u0940"},
           {"\u0905\u0928\u094D\u0928", "\u0905\u0928\u094D\u0928"},  // nn stays
           {"\u095E\u093F\u0932\u094D\u092E", "\u092B\u093F\u0932\u094D\u092E"},
           {"\u091A\u093E\u0901\u0926", "\u091A\u093E\u0902\u0926"},
           {"\u6F22\u8A9E", "\u6C49\u8BED"},
           {"\u30AC\u304C", "\u30AC\u304C"},  // voiced marks stay
           {"\u0E17\u0E35\u0E48", "\u0E17\u0E35\u0E48"},
           {"\u1112\u1161\u11AB", "\uD55C"},
           {"\u0664\u09E8\u0E53", "423"},
           {"\u2764\uFE0F", "\u2764"},
           {"\U0001F44D\U0001F3FD", "\U0001F44D"},
           {"don\u2019t", "don't"},
           {"col\u00B7lecci\u00F3", "colleccio"},
       }) {
    CAPTURE(word);
    CHECK(fold(folder.value(), word) == expected);
    CHECK(fold(folder.value(), expected) == expected);
  }
}

TEST_CASE("a language's stemmer gets the letters that its language writes") {
  const auto folder = WordFolder::make();
  REQUIRE(folder.ok());
  CHECK(fold(folder.value(), "H\u00C4USER", Accents::kKeep) == "h\u00E4user");
  CHECK(fold(folder.value(), "\u00D8L", Accents::kKeep) == "\u00F8l");
  CHECK(fold(folder.value(), "I\u015EIK", Accents::kKeep, true) == "\u0131\u015F\u0131k");
  CHECK(fold(folder.value(), "I\u015EIK", Accents::kDrop, true) == "isik");
}

}  // namespace nestor::query
