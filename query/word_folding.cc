#include "query/word_folding.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "core/macros.h"
#include "query/han_words.h"
#include "query/icu_text.h"

namespace nestor::query {
namespace {

using icu::UnicodeString;

struct LetterFold {
  UChar32 from;
  std::u16string_view to;
};

// Letters that have no decomposition, by code point. Latin: those of CLDR's Latin-ASCII that stand
// in an alphabet in use.
constexpr std::array kLetterFolds = {
    LetterFold{0x00B7, u""},  // the point of Catalan col·lecció
    LetterFold{0x00E6, u"ae"},
    LetterFold{0x00F0, u"d"},
    LetterFold{0x00F8, u"o"},
    LetterFold{0x00FE, u"th"},
    LetterFold{0x0111, u"d"},
    LetterFold{0x0127, u"h"},
    LetterFold{0x0131, u"i"},
    LetterFold{0x0138, u"q"},
    LetterFold{0x0142, u"l"},
    LetterFold{0x014B, u"n"},
    LetterFold{0x0153, u"oe"},
    LetterFold{0x0167, u"t"},
    LetterFold{0x0180, u"b"},
    LetterFold{0x0188, u"c"},
    LetterFold{0x0192, u"f"},
    LetterFold{0x0199, u"k"},
    LetterFold{0x019A, u"l"},
    LetterFold{0x01A5, u"p"},
    LetterFold{0x01AD, u"t"},
    LetterFold{0x01B4, u"y"},
    LetterFold{0x01B6, u"z"},
    LetterFold{0x01E5, u"g"},
    LetterFold{0x0253, u"b"},
    LetterFold{0x0256, u"d"},
    LetterFold{0x0257, u"d"},
    LetterFold{0x025B, u"e"},
    LetterFold{0x0272, u"n"},
    LetterFold{0x0289, u"u"},
    LetterFold{0x02BB, u"'"},  // modifier letters: turned comma,
                               // apostrophe
    LetterFold{0x02BC, u"'"},
    LetterFold{0x0629, u"\u0647"},  // teh marbuta
    LetterFold{0x0640, u""},        // tatweel
    LetterFold{0x0649, u"\u064A"},  // alef maqsura
    LetterFold{0x0671, u"\u0627"},  // alef wasla
    LetterFold{0x06A9, u"\u0643"},  // keheh
    LetterFold{0x06AA, u"\u0643"},  // swash kaf
    LetterFold{0x06BE, u"\u0647"},  // heh doachashmee
    LetterFold{0x06C1, u"\u0647"},  // heh goal
    LetterFold{0x06CC, u"\u064A"},  // Farsi yeh
    LetterFold{0x06D2, u"\u064A"},  // yeh barree
    LetterFold{0x06D5, u"\u0647"},  // ae
    LetterFold{0x2018, u"'"},
    LetterFold{0x2019, u"'"},
};

static_assert(std::is_sorted(kLetterFolds.begin(), kLetterFolds.end(),
                             [](const LetterFold& a, const LetterFold& b) {
                               return a.from < b.from;
                             }));

bool is_ornamented(UScriptCode script) {
  return script == USCRIPT_LATIN || script == USCRIPT_GREEK;
}

bool is_accent(UChar32 mark) { return mark >= 0x300 && mark <= 0x36F; }

bool is_cyrillic_vowel(UChar32 c) {
  constexpr std::u32string_view kVowels =
      U"\u0430\u0435\u0438\u043E\u0443\u044B\u044D\u044E\u044F\u0454\u0456\u0463";
  return kVowels.find(static_cast<char32_t>(c)) != std::u32string_view::npos;
}

// Marks that go wherever they stand; those of Latin and Greek are looked at apart.
bool is_dropped(UChar32 base, UScriptCode script, UChar32 mark) {
  switch (script) {
    case USCRIPT_CYRILLIC: {
      const bool stress = mark == 0x300 || mark == 0x301;
      return (stress && is_cyrillic_vowel(base)) || (mark == 0x308 && base == 0x435);
    }
    case USCRIPT_HEBREW:
      return mark >= 0x591 && mark <= 0x5C7;
    case USCRIPT_ARABIC:
      return (mark >= 0x610 && mark <= 0x61A) || (mark >= 0x64B && mark <= 0x65F) ||
             mark == 0x670 || (mark >= 0x6D6 && mark <= 0x6ED);
    case USCRIPT_DEVANAGARI:
      return mark == 0x93C;
    default:
      return mark == 0x20E3;  // the key around a digit of an emoji
  }
}

bool is_emoji_tone(UChar32 c) { return c >= 0x1F3FB && c <= 0x1F3FF; }

// Whether the nasal at `at` with the virama after it is written as anusvara before this stop.
// Each class of Devanagari has five consonants in a row, the nasal last.
bool is_anusvara(const UnicodeString& text, std::int32_t at) {
  constexpr UChar32 kFirst = 0x915;
  constexpr UChar32 kLast = 0x92E;
  const UChar32 nasal = text.char32At(at);
  if (nasal < kFirst || nasal > kLast || at + 2 >= text.length() || text.charAt(at + 1) != 0x94D)
    return false;
  // U+0929 is no letter of Hindi; the class of labials begins one later for it.
  const auto place = [](UChar32 c) { return c - kFirst - (c > 0x929 ? 1 : 0); };
  const UChar32 stop = text.char32At(at + 2);
  return place(nasal) % 5 == 4 && stop >= kFirst && stop < nasal &&
         place(stop) / 5 == place(nasal) / 5;
}

void append_letter(UChar32 c, UnicodeString& out) {
  const auto* const found =
      std::lower_bound(kLetterFolds.begin(), kLetterFolds.end(), c,
                       [](const LetterFold& fold, UChar32 value) { return fold.from < value; });
  if (found != kLetterFolds.end() && found->from == c) {
    out.append(found->to.data(), static_cast<std::int32_t>(found->to.size()));
  } else if (is_han(c)) {
    out.append(simplified_han(c));
  } else if (c > 0x7F && u_charType(c) == U_DECIMAL_DIGIT_NUMBER) {
    out.append(static_cast<UChar32>('0' + u_charDigitValue(c)));
  } else {
    out.append(c);
  }
}

// Signs within a word that is written without them as well.
bool is_inner_sign(UScriptCode script, UChar32 c) {
  const bool apostrophe = c == '\'' || c == 0x2019 || c == 0x2BC;
  if (script == USCRIPT_CYRILLIC) return apostrophe;
  return script == USCRIPT_HEBREW && (apostrophe || c == '"' || c == 0x5F3 || c == 0x5F4);
}

// Of a decomposed word.
UnicodeString without_marks(const UnicodeString& apart, Accents accents) {
  const bool keep = accents == Accents::kKeep;
  UnicodeString out;
  UChar32 base = 0;
  UScriptCode script = USCRIPT_COMMON;
  for (std::int32_t i = 0; i < apart.length(); i = apart.moveIndex32(i, 1)) {
    const UChar32 c = apart.char32At(i);
    if (is_inner_sign(script, c)) continue;
    const bool mark = (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0;
    if (!mark) {
      UErrorCode ignored = U_ZERO_ERROR;
      base = c;
      script = uscript_getScript(c, &ignored);
    }
    if (mark && is_accent(c) && is_ornamented(script)) {
      if (keep) out.append(c);
    } else if (mark && is_dropped(base, script, c)) {
      continue;
    } else if (c == 0x901) {  // candrabindu
      out.append(UChar32{0x902});
    } else if (script == USCRIPT_DEVANAGARI && is_anusvara(apart, i)) {
      out.append(UChar32{0x902});
      ++i;  // over the virama
    } else if (keep && script == USCRIPT_LATIN) {
      out.append(c);
    } else if (!is_emoji_tone(c) || out.isEmpty()) {
      append_letter(c, out);
    }
  }
  return out;
}

}  // namespace

Result<WordFolder> WordFolder::make() {
  UErrorCode error = U_ZERO_ERROR;
  WordFolder folder;
  folder.casefold_ = icu::Normalizer2::getNFKCCasefoldInstance(error);
  folder.decompose_ = icu::Normalizer2::getNFDInstance(error);
  folder.compose_ = icu::Normalizer2::getNFCInstance(error);
  if (U_FAILURE(error)) return icu_failure("load its normalization data", error);
  return folder;
}

Result<std::string> WordFolder::fold(std::string_view word, Accents accents, bool turkish) const {
  UErrorCode error = U_ZERO_ERROR;
  UnicodeString source = UnicodeString::fromUTF8(
      icu::StringPiece(word.data(), static_cast<std::int32_t>(word.size())));
  if (turkish) source.toLower(icu::Locale("tr"));
  const UnicodeString folded = casefold_->normalize(source, error);
  const UnicodeString apart = decompose_->normalize(folded, error);
  const UnicodeString result = compose_->normalize(without_marks(apart, accents), error);
  if (U_FAILURE(error)) return icu_failure("fold a word", error);
  std::string out;
  result.toUTF8String(out);
  return out;
}

}  // namespace nestor::query
