#include "query/term_forms.h"

#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>
#include <vector>

#include "storage/records.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::query {

TEST_CASE("a stem finds all of its words and variants, a word finds itself alone") {
  const std::string stem = "univers";
  const std::vector<std::string> words = {"univers", "university", "universal", "universe"};
  for (const std::string& word : words) {
    const std::string stored = word_term(stem, word);
    CHECK(stem_lookup(stem).matches(stored));
    for (const std::string& other : words) {
      const TermLookup lookup{.term = word_term(stem, other), .forms = false};
      CHECK(lookup.matches(stored) == (word == other));
    }
    CHECK_FALSE(stem_lookup("univer").matches(stored));
    CHECK_FALSE(stem_lookup("universi").matches(stored));
  }
  CHECK(word_term(stem, stem) == stem);
  CHECK(stem_lookup(stem).matches(variant_term(stem)));
  CHECK_FALSE(TermLookup{.term = stem, .forms = false}.matches(variant_term(stem)));
}

TEST_CASE("terms fit what is stored and differ where words do, at any length") {
  std::mt19937_64 random(storage::testing::test_seed("term forms"));
  std::set<std::string> stored;
  std::set<std::pair<std::string, std::string>> pairs;
  for (int round = 0; round < 3'000; ++round) {
    const auto word_of = [&](std::size_t most) {
      static const char* const kPieces[] = {"a", "b", "\u00e9", "\u6771", "\U0001F680"};
      std::string word;
      for (std::size_t left = 1 + random() % most; left > 0; --left)
        word += kPieces[random() % std::size(kPieces)];
      return word;
    };
    const std::string stem = word_of(random() % 4 == 0 ? 90 : 4);
    const std::string word = random() % 2 == 0 ? stem + word_of(60) : word_of(3);
    const std::string term = word_term(stem, word);
    CHECK(term.size() <= storage::kMostTermBytes);
    CHECK(term.find('\0') == std::string::npos);
    CHECK(stem_lookup(stem).matches(term));
    CHECK(variant_term(stem).size() <= storage::kMostTermBytes);
    stored.insert(term);
    pairs.emplace(stem, word);
  }
  CHECK(stored.size() == pairs.size());
}

TEST_CASE("long words of letters are found by what stands within them, others are not") {
  const std::string compound = "krankenversicherungsbeitrag";
  for (const std::string& term : {word_term(compound, compound),
                                  word_term(compound, compound + "s"), variant_term(compound)}) {
    CHECK(is_inside("versicherung", term));
    CHECK_FALSE(is_inside("rente", term));
    CHECK_FALSE(is_inside(compound, term));
  }
  CHECK_FALSE(is_inside("form", word_term("information", "informations")));
  CHECK_FALSE(is_inside("cafe", word_term("0000cafe0000cafe0000", "0000cafe0000cafe0000")));
  CHECK(may_be_inside("versicherung"));
  CHECK_FALSE(may_be_inside("haus"));
  CHECK_FALSE(may_be_inside("123456"));
  CHECK(may_be_inside("\u30D7\u30ED\u30B0\u30E9\u30E0"));  // "program" in katakana
}

}  // namespace nestor::query
