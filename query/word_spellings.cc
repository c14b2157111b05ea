#include "query/word_spellings.h"

#include <algorithm>
#include <array>
#include <utility>

namespace nestor::query {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::size_t kLeastDigraphWord = 4;  // bytes
constexpr std::size_t kHebrewLetter = 2;      // bytes of UTF-8

template <std::size_t count>
std::string replace(std::string_view text, const std::array<Pair, count>& pairs) {
  std::string out;
  bool replaced = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto* const found = std::find_if(pairs.begin(), pairs.end(), [&](const Pair& pair) {
      return text.substr(at).starts_with(pair.first);
    });
    if (found == pairs.end()) {
      out += text[at++];
      continue;
    }
    out += found->second;
    at += found->first.size();
    replaced = true;
  }
  return replaced ? out : std::string();
}

// U+05D0 to U+05EA.
bool is_hebrew(std::string_view word) {
  if (word.empty() || word.size() % kHebrewLetter != 0) return false;
  for (std::size_t i = 0; i < word.size(); i += kHebrewLetter) {
    const auto low = static_cast<unsigned char>(word[i + 1]);
    if (word[i] != '\xD7' || low < 0x90 || low > 0xAA) return false;
  }
  return true;
}

}  // namespace

std::string with_digraphs(std::string_view accented) {
  constexpr std::array<Pair, 5> kPairs = {Pair{"ä", "ae"}, Pair{"ö", "oe"}, Pair{"ü", "ue"},
                                          Pair{"ø", "oe"}, Pair{"å", "aa"}};
  return replace(accented, kPairs);
}

std::string without_digraphs(std::string_view word) {
  constexpr std::array<Pair, 4> kPairs = {Pair{"ae", "a"}, Pair{"oe", "o"}, Pair{"ue", "u"},
                                          Pair{"aa", "a"}};
  return word.size() < kLeastDigraphWord ? std::string() : replace(word, kPairs);
}

std::vector<std::string> hebrew_spellings(std::string_view word) {
  constexpr std::array<std::string_view, 19> kPrefixes = {"ה",  "ו",  "ב",  "ל",  "כ",  "מ",  "ש",
                                                          "וה", "וב", "ול", "וכ", "ומ", "וש", "שה",
                                                          "שב", "של", "שמ", "כש", "מה"};
  constexpr std::array<std::string_view, 3> kLeft = {"וה", "ה", "ו"};
  std::vector<std::string> spellings;
  if (word.size() < 2 * kHebrewLetter || !is_hebrew(word)) return spellings;
  std::vector<std::string_view> bases = {word};
  for (const std::string_view prefix : kLeft) {
    if (!word.starts_with(prefix) || word.size() < prefix.size() + 3 * kHebrewLetter) continue;
    bases.push_back(word.substr(prefix.size()));
    spellings.emplace_back(bases.back());
    break;
  }
  for (const std::string_view base : bases) {
    for (const std::string_view prefix : kPrefixes)
      spellings.push_back(std::string(prefix).append(base));
  }
  return spellings;
}

}  // namespace nestor::query
