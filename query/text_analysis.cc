#include "query/text_analysis.h"

#include <fmt/format.h>
#include <libstemmer.h>
#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/icu_text.h"
#include "query/name_parts.h"

namespace nestor::query {
namespace {

constexpr const char* kNoLanguage = "none";
// Hexadecimal digits of hash64 that end a term that was cut.
constexpr std::size_t kHashDigits = 16;

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<signed char>(c) >= 0; });
}

void lower_ascii(std::string& text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
}

// Only where the mark is an ornament: a Thai or Devanagari vowel sign is a mark too.
bool has_optional_marks(UChar32 base) {
  UErrorCode error = U_ZERO_ERROR;
  const UScriptCode script = uscript_getScript(base, &error);
  return U_SUCCESS(error) && (script == USCRIPT_LATIN || script == USCRIPT_GREEK);
}

std::string cut_term(std::string term) {
  if (term.size() <= kMostTermBytes) return term;
  const std::uint64_t hash = hash64(term);
  term.resize(floor_to_code_point(term, kMostTermBytes - kHashDigits));
  return term + fmt::format("{:016x}", hash);
}

std::string known_languages() {
  std::string names;
  for (const char** name = sb_stemmer_list(); *name != nullptr; ++name) {
    names += names.empty() ? *name : std::string(", ") + *name;
  }
  return names;
}

struct StemmerDeleter {
  void operator()(sb_stemmer* stemmer) const { sb_stemmer_delete(stemmer); }
};

}  // namespace

struct TextAnalyzer::Impl {
  bool automatic = false;
  bool split_apostrophes = false;
  std::unique_ptr<sb_stemmer, StemmerDeleter> stemmer;  // null: no stems
  std::unique_ptr<icu::BreakIterator> words;
  const icu::Normalizer2* fold = nullptr;  // ICU's own, never freed
  const icu::Normalizer2* decompose = nullptr;
  const icu::Normalizer2* compose = nullptr;

  Status append_word(std::string_view text, std::size_t begin, std::size_t end,
                     std::uint32_t& position, std::vector<TextToken>& tokens);
  // Empty where nothing of a word is left.
  Result<std::string> term_of(std::string_view word);
  Result<std::string> folded(std::string_view word) const;
  Result<std::string> without_accents(const std::string& word) const;
  void stem(std::string& word) const;
};

TextAnalyzer::TextAnalyzer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TextAnalyzer::~TextAnalyzer() = default;

Result<std::unique_ptr<TextAnalyzer>> TextAnalyzer::make(const std::string& language) {
  auto impl = std::make_unique<Impl>();
  impl->automatic = language == kAutoLanguage;
  if (language != kNoLanguage) {
    const std::string algorithm = impl->automatic ? "english" : language;
    impl->stemmer.reset(sb_stemmer_new(algorithm.c_str(), nullptr));
    if (impl->stemmer == nullptr) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("{} is no language of the stemmer; use auto, none, or one of {}",
                                quote_for_message(language), known_languages()));
    }
    // English has its own rule for 's, in German the sign only separates.
    impl->split_apostrophes = algorithm != "english" && algorithm != "porter";
  }
  UErrorCode error = U_ZERO_ERROR;
  impl->words.reset(icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), error));
  impl->fold = icu::Normalizer2::getNFKCCasefoldInstance(error);
  impl->decompose = icu::Normalizer2::getNFDInstance(error);
  impl->compose = icu::Normalizer2::getNFCInstance(error);
  if (U_FAILURE(error)) return icu_failure("load its word rules", error);
  return std::unique_ptr<TextAnalyzer>(new TextAnalyzer(std::move(impl)));
}

Result<std::uint32_t> TextAnalyzer::analyze(std::string_view text, std::uint32_t first_position,
                                            std::vector<TextToken>& tokens) {
  NESTOR_CHECK(text.size() < std::numeric_limits<std::int32_t>::max(), "a text of 2 GiB");
  std::uint32_t position = first_position;
  Utf8Text utf8(text);
  UErrorCode error = utf8.error();
  if (U_SUCCESS(error)) impl_->words->setText(utf8.get(), error);
  if (U_FAILURE(error)) return icu_failure("break a text into words", error);
  icu::BreakIterator& words = *impl_->words;
  std::int32_t begin = words.first();
  for (std::int32_t end = words.next(); end != icu::BreakIterator::DONE; end = words.next()) {
    if (words.getRuleStatus() >= UBRK_WORD_NONE_LIMIT) {
      NESTOR_RETURN_IF_ERROR(impl_->append_word(text, static_cast<std::size_t>(begin),
                                                static_cast<std::size_t>(end), position, tokens));
    }
    begin = end;
  }
  return position;
}

Status TextAnalyzer::Impl::append_word(std::string_view text, std::size_t begin, std::size_t end,
                                       std::uint32_t& position, std::vector<TextToken>& tokens) {
  const std::string_view word = text.substr(begin, end - begin);
  const std::vector<NamePart> parts = split_name(word, split_apostrophes);
  if (parts.empty()) return {};
  const bool taken_apart = parts.size() > 1 || parts[0].end - parts[0].begin != word.size();
  if (taken_apart) {
    NESTOR_ASSIGN_OR_RETURN(std::string term, term_of(word));
    if (!term.empty()) {
      tokens.push_back({std::move(term), position, static_cast<std::uint32_t>(begin),
                        static_cast<std::uint32_t>(end), true});
    }
  }
  for (const NamePart& part : parts) {
    NESTOR_ASSIGN_OR_RETURN(std::string term,
                            term_of(word.substr(part.begin, part.end - part.begin)));
    if (term.empty()) continue;
    tokens.push_back({std::move(term), position++, static_cast<std::uint32_t>(begin) + part.begin,
                      static_cast<std::uint32_t>(begin) + part.end, false});
  }
  return {};
}

Result<std::string> TextAnalyzer::Impl::term_of(std::string_view word) {
  std::string term;
  if (is_ascii(word)) {
    term = word;
    lower_ascii(term);
    stem(term);
    return cut_term(std::move(term));
  }
  NESTOR_ASSIGN_OR_RETURN(term, folded(word));
  // Without accents first, so that the word typed without them has the same stem.
  if (automatic) {
    NESTOR_ASSIGN_OR_RETURN(term, without_accents(term));
    if (is_ascii(term)) stem(term);
  } else {
    stem(term);
    NESTOR_ASSIGN_OR_RETURN(term, without_accents(term));
  }
  return cut_term(std::move(term));
}

Result<std::string> TextAnalyzer::Impl::folded(std::string_view word) const {
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString source = icu::UnicodeString::fromUTF8(
      icu::StringPiece(word.data(), static_cast<std::int32_t>(word.size())));
  icu::UnicodeString result = fold->normalize(source, error);
  if (U_FAILURE(error)) return icu_failure("fold a word", error);
  result.findAndReplace(icu::UnicodeString(UChar32{0x2019}), icu::UnicodeString(UChar32{'\''}));
  std::string out;
  result.toUTF8String(out);
  return out;
}

Result<std::string> TextAnalyzer::Impl::without_accents(const std::string& word) const {
  UErrorCode error = U_ZERO_ERROR;
  const icu::UnicodeString apart = decompose->normalize(icu::UnicodeString::fromUTF8(word), error);
  icu::UnicodeString kept;
  bool ornament = false;  // the last base takes marks that may go
  for (std::int32_t i = 0; i < apart.length(); i = apart.moveIndex32(i, 1)) {
    const UChar32 c = apart.char32At(i);
    const bool mark = c >= 0x300 && c <= 0x36F;
    if (!mark) ornament = has_optional_marks(c);
    if (!mark || !ornament) kept.append(c);
  }
  const icu::UnicodeString together = compose->normalize(kept, error);
  if (U_FAILURE(error)) return icu_failure("take the accents off a word", error);
  std::string out;
  together.toUTF8String(out);
  return out;
}

void TextAnalyzer::Impl::stem(std::string& word) const {
  if (stemmer == nullptr || word.size() > kMostTermBytes) return;
  const sb_symbol* stemmed =
      sb_stemmer_stem(stemmer.get(), reinterpret_cast<const sb_symbol*>(word.data()),
                      static_cast<int>(word.size()));
  if (stemmed == nullptr) return;  // out of memory: the word itself is a term as well
  const int length = sb_stemmer_length(stemmer.get());
  if (length > 0)
    word.assign(reinterpret_cast<const char*>(stemmed), static_cast<std::size_t>(length));
}

}  // namespace nestor::query
