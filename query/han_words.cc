#include "query/han_words.h"

#include <unicode/translit.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <limits>
#include <mutex>

#include "core/macros.h"
#include "query/icu_text.h"
#include "query/text_segments.h"

namespace nestor::query {
namespace {

constexpr std::size_t kLeastCharacters = 3;
constexpr std::size_t kMostCharacters = 12;
// Words whose pieces are kept; a text has fewer different long ones.
constexpr std::size_t kMostKnown = 50'000;

class Simplifier {
 public:
  Simplifier() {
    UErrorCode error = U_ZERO_ERROR;
    transform_.reset(icu::Transliterator::createInstance("Hant-Hans", UTRANS_FORWARD, error));
    if (U_FAILURE(error)) transform_.reset();
  }

  UChar32 of(UChar32 c) {
    if (transform_ == nullptr) return c;
    const std::lock_guard guard(mutex_);
    const auto known = known_.find(c);
    if (known != known_.end()) return known->second;
    icu::UnicodeString text(c);
    transform_->transliterate(text);
    const UChar32 simplified = text.countChar32() == 1 ? text.char32At(0) : c;
    known_.emplace(c, simplified);
    return simplified;
  }

 private:
  std::unique_ptr<icu::Transliterator> transform_;
  std::mutex mutex_;  // guards what follows, and the transform
  std::unordered_map<UChar32, UChar32> known_;
};

// Where the characters begin, and the end.
std::vector<std::size_t> character_borders(std::string_view word) {
  std::vector<std::size_t> borders = {0};
  for (std::size_t at = 0; at < word.size();) {
    U8_FWD_1(word.data(), at, word.size());
    borders.push_back(at);
  }
  return borders;
}

bool is_katakana(UChar32 c) {
  constexpr UChar32 kLongVowel = 0x30FC;  // of no script
  UErrorCode error = U_ZERO_ERROR;
  return c == kLongVowel || uscript_getScript(c, &error) == USCRIPT_KATAKANA;
}

}  // namespace

bool is_han(UChar32 c) {
  if (c < 0x2E80) return false;
  UErrorCode error = U_ZERO_ERROR;
  return uscript_getScript(c, &error) == USCRIPT_HAN;
}

UChar32 simplified_han(UChar32 c) {
  static Simplifier simplifier;
  return simplifier.of(c);
}

std::vector<WordPiece> stretches_of_scripts(std::string_view word) {
  enum class Script : int { kOther, kHan, kKatakana };
  std::vector<WordPiece> stretches;
  bool han = false;
  bool katakana = false;
  Script last = Script::kOther;
  std::size_t begin = 0;
  std::size_t characters = 0;
  const auto close = [&](std::size_t end) {
    if (last != Script::kOther && characters > 1) stretches.push_back({begin, end});
    begin = end;
    characters = 0;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t here = at;
    UChar32 c = 0;
    U8_NEXT(word.data(), at, word.size(), c);
    const Script script = is_han(c)        ? Script::kHan
                          : is_katakana(c) ? Script::kKatakana
                                           : Script::kOther;
    if (script != last) close(here);
    last = script;
    han |= script == Script::kHan;
    katakana |= script == Script::kKatakana;
    ++characters;
  }
  close(word.size());
  if (!han || !katakana) stretches.clear();
  return stretches;
}

Result<bool> HanWords::is_word(std::string_view text) {
  if (words_ == nullptr) {
    NESTOR_ASSIGN_OR_RETURN(words_, make_word_breaks());
  }
  Utf8Text utf8(text);
  UErrorCode error = utf8.error();
  if (U_SUCCESS(error)) words_->setText(utf8.get(), error);
  if (U_FAILURE(error)) return icu_failure("break a text into words", error);
  words_->first();
  return words_->next() == static_cast<std::int32_t>(text.size());
}

// Of the characters from `first` to before `last`; a single one may stand between two words.
Status HanWords::find_pieces(std::string_view word, const std::vector<std::size_t>& borders,
                             std::size_t first, std::size_t last, std::vector<WordPiece>& pieces) {
  const std::size_t count = last - first;
  if (count < kLeastCharacters) return {};
  // Of the characters from i on: the fewest parts, and how long the first of them is.
  std::vector<std::size_t> fewest(count + 1, 0);
  std::vector<std::size_t> length(count + 1, 1);
  for (std::size_t i = count; i-- > 0;) {
    fewest[i] = fewest[i + 1] + 1;
    for (std::size_t n = 2; n <= count - i && n < count; ++n) {
      const std::size_t begin = borders[first + i];
      NESTOR_ASSIGN_OR_RETURN(const bool found,
                              is_word(word.substr(begin, borders[first + i + n] - begin)));
      if (!found || fewest[i + n] + 1 > fewest[i]) continue;
      fewest[i] = fewest[i + n] + 1;
      length[i] = n;
    }
  }
  for (std::size_t i = 0; i < count; i += length[i]) {
    if (length[i] < 2) continue;
    pieces.push_back({borders[first + i], borders[first + i + length[i]]});
    NESTOR_RETURN_IF_ERROR(find_pieces(word, borders, first + i, first + i + length[i], pieces));
  }
  return {};
}

Result<std::vector<WordPiece>> HanWords::pieces(std::string_view word) {
  const std::vector<std::size_t> borders = character_borders(word);
  const std::size_t count = borders.size() - 1;
  if (count < kLeastCharacters || count > kMostCharacters) return std::vector<WordPiece>();
  std::string key(word);
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  std::vector<WordPiece> pieces;
  NESTOR_RETURN_IF_ERROR(find_pieces(word, borders, 0, count, pieces));
  if (known_.size() == kMostKnown) known_.clear();
  known_.emplace(std::move(key), pieces);
  return pieces;
}

}  // namespace nestor::query
