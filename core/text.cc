#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace nestor {
namespace {

struct Decoded {
  std::size_t bytes = 0;  // 0: ill-formed
  char32_t code_point = 0;
};

// Unicode 15, table 3-7: the well-formed byte sequences, first byte by first byte.
Decoded decode(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return offset + i < text.size() ? static_cast<unsigned char>(text[offset + i]) : 0;
  };
  const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return {1, first};
  if (first >= 0xC2 && first <= 0xDF && tail(1)) return {2, (first & 0x1F) << 6 | (byte(1) & 0x3F)};
  if (first >= 0xE0 && first <= 0xEF && tail(1) && tail(2)) {
    const char32_t code_point = (first & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (code_point >= 0x800 && !(code_point >= 0xD800 && code_point <= 0xDFFF))
      return {3, code_point};
  }
  if (first >= 0xF0 && first <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const char32_t code_point =
        (first & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    if (code_point >= 0x10000 && code_point <= 0x10FFFF) return {4, code_point};
  }
  return {};
}

// Characters that move, hide or reorder what stands on a terminal: controls, line and paragraph
// separators, and the Default_Ignorable_Code_Points of Unicode 15 but for variation selectors,
// which ordinary emoji and Japanese names use.
bool is_hazard(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x34F || c == 0x61C ||
         c == 0x115F || c == 0x1160 || c == 0x17B4 || c == 0x17B5 || c == 0x180E ||
         (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2060 && c <= 0x206F) || c == 0x3164 || c == 0xFEFF || c == 0xFFA0 ||
         (c >= 0xFFF0 && c <= 0xFFFB) || (c >= 0x1BCA0 && c <= 0x1BCA3) ||
         (c >= 0x1D173 && c <= 0x1D17A) || (c >= 0xE0000 && c <= 0xE00FF) ||
         (c >= 0xE01F0 && c <= 0xE0FFF);
}

}  // namespace

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  for (std::size_t offset = 0; offset < text.size();) {
    const std::size_t bytes = decode(text, offset).bytes;
    if (bytes == 0) return offset;
    offset += bytes;
  }
  return std::nullopt;
}

Utf8Step step_utf8(std::string_view text, std::size_t offset) {
  if (const std::size_t bytes = decode(text, offset).bytes; bytes > 0) return {bytes, true};
  const auto byte = [&](std::size_t i) -> unsigned {
    return offset + i < text.size() ? static_cast<unsigned char>(text[offset + i]) : 0;
  };
  // Table 3-7: what may stand second depends on the first byte alone.
  const unsigned first = byte(0);
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return {1, false};
  std::size_t good = 2;
  while (good < length && (byte(good) & 0xC0) == 0x80) ++good;
  return {good, false};
}

RepairedText replace_invalid_utf8(std::string_view text) {
  RepairedText repaired;
  repaired.text.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Utf8Step step = step_utf8(text, offset);
    repaired.text += step.well_formed ? text.substr(offset, step.bytes) : kReplacementCharacter;
    repaired.replaced_count += step.well_formed ? 0 : 1;
    offset += step.bytes;
  }
  return repaired;
}

std::size_t code_point_bytes(std::string_view text, std::size_t offset) {
  NESTOR_CHECK(offset < text.size(), "an offset behind the text");
  const std::size_t bytes = decode(text, offset).bytes;
  NESTOR_CHECK(bytes > 0, "ill-formed UTF-8 where well-formed was promised");
  return bytes;
}

std::size_t floor_to_code_point(std::string_view text, std::size_t bytes) {
  if (bytes >= text.size()) return text.size();
  // A code point has at most three bytes before the cut. Ill-formed bytes are nobody's tail: going
  // back over a run of them would come to 0, and a caller that works piece by piece would not end.
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes); ++back) {
    if (decode(text, bytes - back).bytes > back) return bytes - back;
  }
  return bytes;
}

std::string escape_for_terminal(std::string_view text, bool keep_lines) {
  std::string escaped;
  escaped.reserve(text.size());
  for (std::size_t offset = 0; offset < text.size();) {
    const Decoded next = decode(text, offset);
    if (next.bytes == 0) {
      escaped += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[offset]));
      ++offset;
      continue;
    }
    const bool kept = keep_lines && (next.code_point == '\n' || next.code_point == '\t');
    if (kept || !is_hazard(next.code_point)) {
      escaped.append(text.substr(offset, next.bytes));
    } else if (next.code_point < 0x100) {
      escaped += fmt::format("\\x{:02x}", static_cast<unsigned>(next.code_point));
    } else {
      escaped += fmt::format("\\u{{{:x}}}", static_cast<unsigned>(next.code_point));
    }
    offset += next.bytes;
  }
  return escaped;
}

std::string quote_for_message(std::string_view text, std::size_t most_bytes) {
  const bool cut = text.size() > most_bytes;
  const std::string_view head = text.substr(0, floor_to_code_point(text, most_bytes));
  return "'" + escape_for_terminal(head, false) + (cut ? "…'" : "'");
}

std::string with_thousands(std::int64_t value) {
  // Unsigned, for the lowest int64 has no positive twin.
  const auto magnitude = static_cast<std::uint64_t>(value);
  std::string digits = fmt::format("{}", value < 0 ? 0 - magnitude : magnitude);
  for (int place = static_cast<int>(digits.size()) - 3; place > 0; place -= 3)
    digits.insert(place, ",");
  return value < 0 ? "-" + digits : digits;
}

}  // namespace nestor
