#include "query/name_parts.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace nestor::query {
namespace {

constexpr UChar32 kRightQuote = 0x2019;

enum class Kind { kSeparator, kUpper, kLower, kOther };

Kind kind_of(UChar32 c, bool split_apostrophes) {
  if (c == '_' || c == '.' || c == ':') return Kind::kSeparator;
  if (split_apostrophes && (c == '\'' || c == kRightQuote)) return Kind::kSeparator;
  if (c < 0) return Kind::kOther;
  if (u_isupper(c)) return Kind::kUpper;
  return u_islower(c) ? Kind::kLower : Kind::kOther;
}

bool is_number(std::string_view word) {
  bool digits = false;
  for (const char c : word) {
    if (c >= '0' && c <= '9') {
      digits = true;
    } else if (c != '.' && c != ',') {
      return false;
    }
  }
  return digits;
}

void append(std::vector<NamePart>& parts, std::size_t begin, std::size_t end) {
  if (begin < end)
    parts.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
}

}  // namespace

std::vector<NamePart> split_name(std::string_view word, bool split_apostrophes) {
  std::vector<NamePart> parts;
  if (is_number(word)) {
    append(parts, 0, word.size());
    return parts;
  }
  std::size_t begin = 0;
  std::size_t last_begin = 0;  // of the code point before
  Kind last = Kind::kSeparator;
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t here = at;
    UChar32 c = 0;
    U8_NEXT(word.data(), at, word.size(), c);
    const Kind kind = kind_of(c, split_apostrophes);
    if (kind == Kind::kSeparator) {
      append(parts, begin, here);
      begin = at;
    } else if (kind == Kind::kUpper && last == Kind::kLower) {  // page|Size
      append(parts, begin, here);
      begin = here;
    } else if (kind == Kind::kLower && last == Kind::kUpper) {  // HTTP|Page
      append(parts, begin, last_begin);
      begin = last_begin > begin ? last_begin : begin;
    }
    last = kind;
    last_begin = here;
  }
  append(parts, begin, word.size());
  return parts;
}

}  // namespace nestor::query
