#include "query/filter_lexer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/filter_text.h"

namespace nestor::query {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool goes_on_word(char c) { return begins_word(c) || is_digit(c) || c == '.' || c == '-'; }

// Longest first.
constexpr std::array<std::string_view, 16> kSigns = {"==", "!=", "<>", "<=", ">=", "&&", "||", "(",
                                                     ")",  "[",  "]",  ",",  "=",  "<",  ">",  "!"};

void append_code_point(std::string& out, std::uint32_t point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xc0 | point >> 6));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | point >> 12));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | point >> 18));
    out.push_back(static_cast<char>(0x80 | (point >> 12 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point >> 6 & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3f)));
  }
}

}  // namespace

Result<Token> FilterLexer::next() {
  while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  Token token;
  token.offset = at_;
  if (at_ == text_.size()) return token;
  const char c = text_[at_];
  if (c == '"' || c == '\'' || c == '`') return quoted(c);
  const char after = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (is_digit(c) || ((c == '-' || c == '+' || c == '.') && (is_digit(after) || after == '.'))) {
    return number();
  }
  if (begins_word(c)) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && goes_on_word(text_[at_])) ++at_;
    token.kind = TokenKind::kWord;
    token.text = text_.substr(begin, at_ - begin);
    return token;
  }
  for (const std::string_view sign : kSigns) {
    if (!text_.substr(at_).starts_with(sign)) continue;
    at_ += sign.size();
    token.kind = TokenKind::kSign;
    token.text = sign;
    return token;
  }
  return filter_text_error(
      text_, at_,
      fmt::format("{} means nothing here; names with other characters stand in `back quotes`, "
                  "strings in \"quotes\"",
                  quote_for_message(text_.substr(at_, code_point_bytes(text_, at_)))));
}

Result<Token> FilterLexer::quoted(char quote) {
  Token token;
  token.offset = at_++;
  token.kind = quote == '`' ? TokenKind::kName : TokenKind::kValue;
  std::string content;
  const bool name = quote == '`';
  const auto doubled = [&] { return name && text_.substr(at_).starts_with("``"); };
  while (at_ < text_.size() && (text_[at_] != quote || doubled())) {
    if (doubled()) ++at_;
    if (text_[at_] == '\\' && !name) {
      NESTOR_RETURN_IF_ERROR(append_escape(content));
    } else {
      content.push_back(text_[at_++]);
    }
  }
  if (at_ == text_.size()) {
    return filter_text_error(
        text_, token.offset,
        fmt::format("the {} that begins here has no closing {}", name ? "name" : "string", quote));
  }
  ++at_;
  if (name) {
    token.text = std::move(content);
  } else {
    token.value = MetadataScalar(std::move(content));
  }
  return token;
}

std::optional<std::uint32_t> FilterLexer::hex4() {
  if (text_.size() - at_ < 4) return std::nullopt;
  std::uint32_t value = 0;
  const char* const begin = text_.data() + at_;
  const auto [end, error] = std::from_chars(begin, begin + 4, value, 16);
  if (error != std::errc() || end != begin + 4) return std::nullopt;
  at_ += 4;
  return value;
}

Status FilterLexer::append_escape(std::string& out) {
  const std::size_t begin = at_++;
  const auto wrong = [&](const std::string& what) { return filter_text_error(text_, begin, what); };
  const char kind = at_ < text_.size() ? text_[at_++] : '\0';
  constexpr std::string_view kShort = "\"'\\/bfnrt";
  constexpr std::string_view kMeaning = "\"'\\/\b\f\n\r\t";
  if (const std::size_t which = kShort.find(kind); which != kShort.npos) {
    out.push_back(kMeaning[which]);
    return {};
  }
  if (kind != 'u') {
    return wrong("no such escape; a string knows \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
  }
  std::optional<std::uint32_t> point = hex4();
  if (!point) return wrong("\\u is followed by four hexadecimal digits");
  if (*point >= 0xdc00 && *point <= 0xdfff) return wrong("half of a surrogate pair");
  if (*point >= 0xd800 && *point <= 0xdbff) {
    if (!text_.substr(at_).starts_with("\\u")) return wrong("half of a surrogate pair");
    at_ += 2;
    const std::optional<std::uint32_t> low = hex4();
    if (!low || *low < 0xdc00 || *low > 0xdfff) return wrong("half of a surrogate pair");
    point = 0x10000 + ((*point - 0xd800) << 10) + (*low - 0xdc00);
  }
  append_code_point(out, *point);
  return {};
}

Result<Token> FilterLexer::number() {
  Token token;
  token.offset = at_;
  token.kind = TokenKind::kValue;
  while (at_ < text_.size() &&
         (goes_on_word(text_[at_]) ||
          (text_[at_] == '+' && (at_ == token.offset || (text_[at_ - 1] | 0x20) == 'e')))) {
    ++at_;
  }
  std::string_view written = text_.substr(token.offset, at_ - token.offset);
  const std::string quoted_text = quote_for_message(written);
  if (written.front() == '+') written.remove_prefix(1);
  const char* const end = written.data() + written.size();
  std::int64_t whole = 0;
  const auto as_whole = std::from_chars(written.data(), end, whole);
  if (as_whole.ec == std::errc() && as_whole.ptr == end) {
    token.value = MetadataScalar(whole);
    return token;
  }
  std::uint64_t large = 0;
  const auto as_large = std::from_chars(written.data(), end, large);
  if (as_large.ec == std::errc() && as_large.ptr == end) {
    token.value = MetadataScalar(large);
    return token;
  }
  double real = 0;
  const auto as_real = std::from_chars(written.data(), end, real);
  if (as_real.ec == std::errc::result_out_of_range && as_real.ptr == end) {
    return filter_text_error(text_, token.offset,
                             fmt::format("{} is outside the range of a double", quoted_text));
  }
  if (as_real.ec != std::errc() || as_real.ptr != end || !std::isfinite(real)) {
    return filter_text_error(text_, token.offset, fmt::format("{} is no number", quoted_text));
  }
  if (is_rounded(written, real)) {
    return filter_text_error(text_, token.offset, rounded_number_text(written));
  }
  token.value = MetadataScalar(real);
  return token;
}

std::string describe_token(const Token& token) {
  switch (token.kind) {
    case TokenKind::kEnd:
      return "the end";
    case TokenKind::kValue:
      return std::holds_alternative<std::string>(token.value.variant()) ? "a string" : "a number";
    case TokenKind::kWord:
    case TokenKind::kName:
    case TokenKind::kSign:
      return quote_for_message(token.text);
  }
  return "something else";
}

}  // namespace nestor::query
