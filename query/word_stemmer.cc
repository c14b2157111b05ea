#include "query/word_stemmer.h"

#include <fmt/format.h>
#include <libstemmer.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <algorithm>

#include "core/text.h"
#include "query/term_forms.h"
#include "query/text_analysis.h"

namespace nestor::query {
namespace {

constexpr const char* kNoLanguage = "none";
constexpr const char* kLight10 = "light10";  // below, not of libstemmer

// STORED through the stems: a change of an entry is a new kAnalysisVersion (passage_terms.cc).
enum Script : std::size_t {
  kLatin,
  kGreek,
  kCyrillic,
  kArabic,
  kDevanagari,
  kTamil,
  kArmenian,
  kHebrew,
  kOtherScript
};
constexpr std::array<const char*, 8> kAutomatic = {"english", "greek", "russian",  kLight10,
                                                   "hindi",   "tamil", "armenian", nullptr};

Script script_of(std::string_view word) {
  UChar32 c = 0;
  std::size_t at = 0;
  U8_NEXT(word.data(), at, word.size(), c);
  if (c >= 0 && c < 0x80) return kLatin;
  UErrorCode error = U_ZERO_ERROR;
  switch (uscript_getScript(c, &error)) {
    case USCRIPT_LATIN:
      return kLatin;
    case USCRIPT_GREEK:
      return kGreek;
    case USCRIPT_CYRILLIC:
      return kCyrillic;
    case USCRIPT_ARABIC:
      return kArabic;
    case USCRIPT_DEVANAGARI:
      return kDevanagari;
    case USCRIPT_TAMIL:
      return kTamil;
    case USCRIPT_ARMENIAN:
      return kArmenian;
    case USCRIPT_HEBREW:
      return kHebrew;
    default:
      return kOtherScript;
  }
}

Script script_of_language(const std::string& language) {
  if (language == "greek") return kGreek;
  if (language == "russian") return kCyrillic;
  if (language == "hindi" || language == "nepali") return kDevanagari;
  if (language == "tamil") return kTamil;
  if (language == "armenian") return kArmenian;
  return language == "yiddish" ? kHebrew : kLatin;
}

std::string known_languages() {
  std::string names;
  for (const char** name = sb_stemmer_list(); *name != nullptr; ++name) {
    names += names.empty() ? *name : std::string(", ") + *name;
  }
  return names;
}

bool take_off(std::string_view& word, std::string_view affix, bool front, std::size_t least) {
  if (word.size() < affix.size() + least) return false;
  if (front ? !word.starts_with(affix) : !word.ends_with(affix)) return false;
  if (front) word.remove_prefix(affix.size());
  if (!front) word.remove_suffix(affix.size());
  return true;
}

// Source: Larkey, Ballesteros and Connell, Improving Stemming for Arabic Information Retrieval,
// 2002 (light10), over folded letters, of two bytes each.
std::string light10(std::string_view word) {
  constexpr std::array<std::string_view, 6> kArticles = {"وال", "بال", "كال", "فال", "لل", "ال"};
  constexpr std::array<std::string_view, 8> kEndings = {"ها", "ان", "ات", "ون",
                                                        "ين", "يه", "ه",  "ي"};
  constexpr std::size_t kTwoLetters = 4;
  constexpr std::size_t kThreeLetters = 6;
  const bool has_article = std::any_of(kArticles.begin(), kArticles.end(), [&](auto article) {
    return take_off(word, article, true, kTwoLetters);
  });
  if (!has_article) take_off(word, "و", true, kThreeLetters);
  for (const std::string_view ending : kEndings) take_off(word, ending, false, kTwoLetters);
  return std::string(word);
}

}  // namespace

void WordStemmer::Deleter::operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }

WordStemmer::WordStemmer() = default;
WordStemmer::WordStemmer(WordStemmer&& other) noexcept = default;
WordStemmer::~WordStemmer() = default;

Result<WordStemmer> WordStemmer::make(const std::string& language) {
  WordStemmer stemmer;
  stemmer.language_ = language;
  if (language == kNoLanguage) return stemmer;
  stemmer.algorithms_ = kAutomatic;
  if (language == kAutoLanguage) return stemmer;
  const char** known = sb_stemmer_list();
  while (*known != nullptr && *known != language) ++known;
  if (*known == nullptr) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} is no language of the stemmer; use auto, none, or one of {}",
                              quote_for_message(language), known_languages()));
  }
  if (language != "arabic") stemmer.algorithms_[script_of_language(language)] = *known;
  return stemmer;
}

bool WordStemmer::wants_accents() const {
  const char* const latin = algorithms_[kLatin];
  return latin != nullptr && latin != kAutomatic[kLatin];
}

bool WordStemmer::turkish() const { return language_ == "turkish"; }

bool WordStemmer::contracts() const {
  return language_ == kAutoLanguage || language_ == kNoLanguage || language_ == "english" ||
         language_ == "porter";
}

std::string WordStemmer::ascii_stem(std::string_view word) { return stem_with(kLatin, word); }

std::string WordStemmer::stem(std::string_view word) {
  const Script script = script_of(word);
  return script == kOtherScript ? std::string(word) : stem_with(script, word);
}

std::string WordStemmer::stem_with(std::size_t script, std::string_view word) {
  const char* const algorithm = algorithms_[script];
  if (algorithm == nullptr || word.size() > kMostStemBytes) return std::string(word);
  if (algorithm == kLight10) return light10(word);
  Stemmer& stemmer = stemmers_[script];
  if (stemmer == nullptr) stemmer.reset(sb_stemmer_new(algorithm, nullptr));
  // Out of memory: the word itself is a stem as well.
  if (stemmer == nullptr) return std::string(word);
  const sb_symbol* const stemmed =
      sb_stemmer_stem(stemmer.get(), reinterpret_cast<const sb_symbol*>(word.data()),
                      static_cast<int>(word.size()));
  const int length = stemmed == nullptr ? 0 : sb_stemmer_length(stemmer.get());
  if (length <= 0) return std::string(word);
  return {reinterpret_cast<const char*>(stemmed), static_cast<std::size_t>(length)};
}

}  // namespace nestor::query
