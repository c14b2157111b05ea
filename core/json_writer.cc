#include "core/json_writer.h"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/text.h"

namespace nestor {
namespace {

// The bytes that stand in a string of JSON as something else: 0, itself; 'u', \u00XX; else \ and
// this letter.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> escapes{};
  for (std::size_t byte = 0; byte < 0x20; ++byte) escapes[byte] = 'u';
  escapes['\b'] = 'b';
  escapes['\t'] = 't';
  escapes['\n'] = 'n';
  escapes['\f'] = 'f';
  escapes['\r'] = 'r';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  return escapes;
}();

void append_escaped(std::string_view text, std::string& to) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::size_t copied = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const char escape = kEscapes[byte];
    if (escape == 0) continue;
    to.append(text, copied, i - copied);
    to += '\\';
    to += escape;
    if (escape == 'u') {
      to += "00";
      to += kDigits[byte >> 4];
      to += kDigits[byte & 15];
    }
    copied = i + 1;
  }
  to.append(text, copied);
}

template <typename Number>
std::string_view digits_of(Number number, std::array<char, 24>& digits) {
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return {digits.data(), static_cast<std::size_t>(end - digits.data())};
}

}  // namespace

void JsonWriter::open(char bracket) {
  begin_value();
  text_ += bracket;
  ++depth_;
  first_ = true;
}

void JsonWriter::close(char bracket) {
  --depth_;
  if (!first_) new_line();
  first_ = false;
  text_ += bracket;
}

void JsonWriter::begin_value() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (depth_ == 0) return;
  if (!first_) text_ += ',';
  first_ = false;
  new_line();
}

void JsonWriter::new_line() {
  if (indent_ == kOneLine) return;
  text_ += '\n';
  text_.append(static_cast<std::size_t>(depth_) * static_cast<std::size_t>(indent_), ' ');
}

void JsonWriter::string(std::string_view text) {
  if (find_invalid_utf8(text).has_value()) {
    const auto handler = ill_formed_ == IllFormed::kRefuse
                             ? nlohmann::json::error_handler_t::strict
                             : nlohmann::json::error_handler_t::replace;
    text_ += nlohmann::json(std::string(text)).dump(-1, ' ', false, handler);
    return;
  }
  text_ += '"';
  append_escaped(text, text_);
  text_ += '"';
}

void JsonWriter::key(std::string_view name) {
  begin_value();
  string(name);
  text_ += indent_ == kOneLine ? ":" : ": ";
  after_key_ = true;
}

void JsonWriter::value(std::string_view text) {
  begin_value();
  string(text);
}

void JsonWriter::value(std::int64_t number) {
  std::array<char, 24> digits;
  literal(digits_of(number, digits));
}

void JsonWriter::value(std::uint64_t number) {
  std::array<char, 24> digits;
  literal(digits_of(number, digits));
}

// std::to_chars writes other digits for one double of a thousand, and no ".0".
void JsonWriter::value(double number) {
  if (!std::isfinite(number)) return literal("null");
  std::array<char, 64> digits;
  const char* const end =
      nlohmann::detail::to_chars(digits.data(), digits.data() + digits.size(), number);
  literal({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void JsonWriter::literal(std::string_view json) {
  begin_value();
  text_ += json;
}

}  // namespace nestor
