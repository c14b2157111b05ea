#include "query/term_forms.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "core/text.h"
#include "storage/records.h"

namespace nestor::query {
namespace {

using storage::kFormMark;

constexpr std::size_t kHashDigits = 16;  // of a hash64 in hexadecimal
// The most bytes of a stem that a form can replace: the count is one printable character.
constexpr std::size_t kMostReplaced = 94;
// Begins a form that is a hash; no other form begins with it.
constexpr char kHashedForm = '\2';

// Code points of the stems below kLongWords, and of what is looked for in them. Chosen so that
// hardly an English stem is so long: "combination" is not searched for "nation".
constexpr std::size_t kLeastLong = 14;
constexpr std::size_t kLeastInside = 6;
constexpr std::size_t kLeastLongKatakana = 7;
constexpr std::size_t kLeastInsideKatakana = 3;
// Longer ones are no words.
constexpr std::size_t kMostLong = 48;

std::string hash_text(std::string_view text) { return fmt::format("{:016x}", hash64(text)); }

std::string bounded(std::string_view stem) {
  if (stem.size() <= kMostStemBytes) return std::string(stem);
  const std::size_t kept = floor_to_code_point(stem, kMostStemBytes - kHashDigits);
  return std::string(stem.substr(0, kept)) + hash_text(stem);
}

bool is_katakana(std::string_view word) {  // U+30A0 to U+30FF
  return word.starts_with("\xE3\x83") || (word.starts_with("\xE3\x82") && word.size() > 2 &&
                                          static_cast<unsigned char>(word[2]) >= 0xA0);
}

// Code points of a word of katakana, or of Latin, Greek or Cyrillic letters; 0 for other words.
std::size_t letters_of(std::string_view word, bool katakana) {
  std::size_t letters = 0;
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && !(c >= 'a' && c <= 'z')) return 0;
    if (byte >= 0xD4 && !katakana) return 0;
    letters += byte < 0x80 || byte >= 0xC0 ? 1 : 0;
  }
  return letters;
}

bool is_long(std::string_view stem) {
  if (stem.size() < kLeastLong) return false;
  const bool katakana = is_katakana(stem);
  const std::size_t letters = letters_of(stem, katakana);
  return letters >= (katakana ? kLeastLongKatakana : kLeastLong) && letters <= kMostLong;
}

// What the terms of a stem begin with.
std::string base_of(std::string_view stem) {
  return is_long(stem) ? std::string(kLongWords).append(bounded(stem)) : bounded(stem);
}

// How many bytes of the stem's end go, as a character from 0x20 on, then what stands instead.
std::string form_of(std::string_view stem, std::string_view word, std::size_t most_bytes) {
  auto shared = static_cast<std::size_t>(
      std::mismatch(stem.begin(), stem.end(), word.begin(), word.end()).first - stem.begin());
  shared = std::min(floor_to_code_point(stem, shared), floor_to_code_point(word, shared));
  const std::size_t replaced = stem.size() - shared;
  if (replaced > kMostReplaced || 1 + word.size() - shared > most_bytes) {
    return kHashedForm + hash_text(word);
  }
  return std::string(1, static_cast<char>(' ' + replaced)).append(word.substr(shared));
}

}  // namespace

std::string word_term(std::string_view stem, std::string_view word) {
  std::string term = base_of(stem);
  if (word == stem) return term;
  const std::size_t most_bytes = storage::kMostTermBytes - term.size() - 1;
  return term.append(1, kFormMark).append(form_of(stem, word, most_bytes));
}

std::string variant_term(std::string_view stem) { return base_of(stem).append(2, kFormMark); }

TermLookup stem_lookup(std::string_view stem) { return {.term = base_of(stem), .forms = true}; }

bool TermLookup::matches(std::string_view stored) const {
  if (!stored.starts_with(term)) return false;
  return stored.size() == term.size() || (forms && stored[term.size()] == kFormMark);
}

bool may_be_inside(std::string_view stem) {
  const bool katakana = is_katakana(stem);
  return letters_of(stem, katakana) >= (katakana ? kLeastInsideKatakana : kLeastInside);
}

bool is_inside(std::string_view stem, std::string_view stored) {
  if (!stored.starts_with(kLongWords)) return false;
  const std::string_view word =
      stored.substr(kLongWords.size(), stored.find(kFormMark) - kLongWords.size());
  return word.size() > stem.size() && word.find(stem) != std::string_view::npos;
}

}  // namespace nestor::query
