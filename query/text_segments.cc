#include "query/text_segments.h"

#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <limits>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/macros.h"
#include "query/icu_text.h"

namespace nestor::query {
namespace {

UChar32 first_code_point(std::string_view text) {
  UChar32 c = 0;
  std::size_t at = 0;
  U8_NEXT(text.data(), at, text.size(), c);
  return c;
}

bool is_attached(UChar32 c) {
  return c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0x2070 && c <= 0x2089) || c == 0x2116;
}

// Not the arrows, bullets and signs that Unicode counts among the pictographs too.
bool is_emoji(UChar32 c) {
  if (u_hasBinaryProperty(c, UCHAR_EMOJI_PRESENTATION) != 0) return true;
  const bool pictures = (c >= 0x2600 && c <= 0x27BF) || c >= 0x1F000;
  return pictures && u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC) != 0;
}

// Whether its compatibility form has a letter or digit.
bool stands_for_letters(UChar32 c) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* const compatible = icu::Normalizer2::getNFKCInstance(error);
  icu::UnicodeString form;
  if (U_FAILURE(error) || !compatible->getDecomposition(c, form)) return false;
  for (std::int32_t i = 0; i < form.length(); i = form.moveIndex32(i, 1)) {
    if (u_isalnum(form.char32At(i)) != 0) return true;
  }
  return false;
}

// What a segment without letters or digits of its own is, if it is a word at all.
std::optional<SegmentKind> kind_of_signs(std::string_view text) {
  if (static_cast<unsigned char>(text[0]) < 0x80) return {};
  const UChar32 c = first_code_point(text);
  const bool punctuation = c >= 0x2000 && c <= 0x206F;
  if (c < 0xAA || punctuation) return {};
  if (is_attached(c)) return SegmentKind::kAttached;
  return is_emoji(c) || stands_for_letters(c) ? std::optional(SegmentKind::kSymbol) : std::nullopt;
}

void append_word(std::string_view text, std::size_t begin, std::size_t end, SegmentKind kind,
                 std::vector<TextSegment>& segments) {
  while (begin < end) {
    const std::size_t sign = std::min(text.substr(0, end).find('@', begin), end);
    if (begin < sign) {
      segments.push_back(
          {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(sign), kind});
    }
    begin = sign + 1;
  }
}

}  // namespace

Result<std::unique_ptr<icu::BreakIterator>> make_word_breaks() {
  static UErrorCode error = U_ZERO_ERROR;
  static const std::unique_ptr<icu::BreakIterator> original(
      icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), error));
  if (U_FAILURE(error)) return icu_failure("load its word rules", error);
  return std::unique_ptr<icu::BreakIterator>(original->clone());
}

Result<TextSegments> TextSegments::make() {
  NESTOR_ASSIGN_OR_RETURN(std::unique_ptr<icu::BreakIterator> words, make_word_breaks());
  return TextSegments(std::move(words));
}

Result<std::vector<TextSegment>> TextSegments::find(std::string_view text) {
  NESTOR_CHECK(text.size() < std::numeric_limits<std::int32_t>::max(), "a text of 2 GiB");
  Utf8Text utf8(text);
  UErrorCode error = utf8.error();
  if (U_SUCCESS(error)) words_->setText(utf8.get(), error);
  if (U_FAILURE(error)) return icu_failure("break a text into words", error);
  std::vector<TextSegment> segments;
  std::int32_t first = words_->first();
  for (std::int32_t last = words_->next(); last != icu::BreakIterator::DONE;
       last = words_->next()) {
    const auto begin = static_cast<std::size_t>(first);
    const auto end = static_cast<std::size_t>(last);
    const std::int32_t status = words_->getRuleStatus();
    if (status >= UBRK_WORD_NONE_LIMIT) {
      append_word(text, begin, end,
                  status >= UBRK_WORD_KANA ? SegmentKind::kIdeographs : SegmentKind::kWord,
                  segments);
    } else if (const auto kind = kind_of_signs(text.substr(begin, end - begin))) {
      segments.push_back(
          {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end), *kind});
    }
    first = last;
  }
  return segments;
}

}  // namespace nestor::query
