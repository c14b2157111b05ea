// Reading well-formed UTF-8 one code point at a time, without the checks that are behind it.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <string_view>

namespace nestor::embed {

// U+2581, which stands for a space inside the pieces of a vocabulary.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 0;
};

// REQUIRES: well-formed UTF-8, `offset` at the first byte of a code point.
inline CodePoint decode_code_point(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) -> char32_t {
    return static_cast<unsigned char>(text[offset + i]);
  };
  const auto tail = [&](std::size_t i) -> char32_t { return byte(i) & 0x3F; };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) < 0xE0) return {(byte(0) & 0x1F) << 6 | tail(1), 2};
  if (byte(0) < 0xF0) return {(byte(0) & 0x0F) << 12 | tail(1) << 6 | tail(2), 3};
  return {(byte(0) & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4};
}

}  // namespace nestor::embed
