#include "query/text_breaks.h"

#include <unicode/brkiter.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <limits>

#include "core/check.h"
#include "core/macros.h"
#include "query/icu_text.h"

namespace nestor::query {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "- x", "* x", "+ x", "1. x", "1) x" after white space.
bool starts_list_item(std::string_view text) {
  std::size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos) return false;
  if (text[at] == '-' || text[at] == '*' || text[at] == '+') {
    ++at;
  } else {
    const std::size_t first = at;
    while (at < text.size() && at - first < 9 && is_digit(text[at])) ++at;
    if (at == first || at == text.size() || (text[at] != '.' && text[at] != ')')) return false;
    ++at;
  }
  return at < text.size() && (text[at] == ' ' || text[at] == '\t');
}

// Bytes of the white-space character that `text` begins with, or 0.
std::size_t space_bytes(std::string_view text) {
  std::size_t next = 0;
  UChar32 c = 0;
  U8_NEXT(text.data(), next, text.size(), c);
  return c >= 0 && is_space(static_cast<char32_t>(c)) ? next : 0;
}

}  // namespace

struct TextBreaks::Impl {
  using Factory = icu::BreakIterator* (*)(const icu::Locale&, UErrorCode&);
  using Iterator = std::unique_ptr<icu::BreakIterator>;

  // Makes the iterator at first use and puts it at the start of the text.
  static Status start(Iterator& iterator, Factory create, Utf8Text& text) {
    UErrorCode error = text.error();
    if (U_FAILURE(error)) return icu_failure("read a text", error);
    if (iterator == nullptr) {
      iterator.reset(create(icu::Locale::getRoot(), error));
      if (U_FAILURE(error)) return icu_failure("load its break rules", error);
    }
    iterator->setText(text.get(), error);
    if (U_FAILURE(error)) return icu_failure("break a text", error);
    iterator->first();
    return {};
  }
  static Result<std::vector<std::int32_t>> all_ends(Iterator& iterator, Factory create,
                                                    std::string_view text);

  Iterator sentences;
  Iterator lines;
  Iterator graphemes;
};

Result<std::vector<std::int32_t>> TextBreaks::Impl::all_ends(Iterator& iterator, Factory create,
                                                             std::string_view text) {
  NESTOR_CHECK(text.size() < std::numeric_limits<std::int32_t>::max(), "a text of 2 GiB");
  Utf8Text utf8(text);
  NESTOR_RETURN_IF_ERROR(start(iterator, create, utf8));
  std::vector<std::int32_t> ends;
  for (std::int32_t end = iterator->next(); end != icu::BreakIterator::DONE;
       end = iterator->next()) {
    ends.push_back(end);
  }
  return ends;
}

TextBreaks::TextBreaks() : impl_(std::make_unique<Impl>()) {}
TextBreaks::~TextBreaks() = default;

Result<std::vector<std::int32_t>> TextBreaks::sentence_ends(std::string_view text) {
  NESTOR_CHECK(text.size() < std::numeric_limits<std::int32_t>::max(), "a text of 2 GiB");
  Utf8Text utf8(text);
  NESTOR_RETURN_IF_ERROR(
      Impl::start(impl_->sentences, icu::BreakIterator::createSentenceInstance, utf8));
  std::vector<std::int32_t> ends;
  icu::BreakIterator& iterator = *impl_->sentences;
  for (std::int32_t end = iterator.next(); end != icu::BreakIterator::DONE; end = iterator.next()) {
    const std::size_t at = static_cast<std::size_t>(end);
    const bool ended_by_line_only = iterator.getRuleStatus() >= UBRK_SENTENCE_SEP;
    if (at == text.size() || !ended_by_line_only || starts_list_item(text.substr(at))) {
      ends.push_back(end);
    }
  }
  return ends;
}

Result<std::vector<std::int32_t>> TextBreaks::line_break_ends(std::string_view text) {
  return Impl::all_ends(impl_->lines, icu::BreakIterator::createLineInstance, text);
}

Result<std::vector<std::int32_t>> TextBreaks::grapheme_ends(std::string_view text) {
  return Impl::all_ends(impl_->graphemes, icu::BreakIterator::createCharacterInstance, text);
}

bool is_space(char32_t code_point) {
  return u_isUWhiteSpace(static_cast<UChar32>(code_point)) != 0 || code_point == 0xFEFF;
}

Trimmed trim(std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t bytes = space_bytes(text.substr(begin));
    if (bytes == 0) break;
    begin += bytes;
  }
  std::size_t end = text.size();
  while (end > begin) {
    std::size_t last = end - 1;
    while (last > begin && end - last < 4 && U8_IS_TRAIL(text[last])) --last;
    if (space_bytes(text.substr(last, end - last)) != end - last) break;
    end = last;
  }
  return {begin, end};
}

}  // namespace nestor::query
