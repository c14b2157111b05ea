// UTF-8 as untrusted bytes, and text that is safe to print on a terminal.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nestor {

// Byte offset of the first byte that is not well-formed UTF-8 (overlong forms, surrogates and cut
// tails are not), or nothing. Source: Unicode 15, table 3-7.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);
// What begins at an offset: a code point, or an ill-formed sequence as long as the beginning of a
// well-formed one (a "maximal subpart", Unicode 15, section 3.9), which is what WHATWG and Python
// replace by one U+FFFD.
struct Utf8Step {
  std::size_t bytes = 1;
  bool well_formed = true;
};
// REQUIRES: offset < text.size().
Utf8Step step_utf8(std::string_view text, std::size_t offset);
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD
struct RepairedText {
  std::string text;
  std::int64_t replaced_count = 0;  // ill-formed sequences, each now one U+FFFD
};
RepairedText replace_invalid_utf8(std::string_view text);
// Length in bytes of the code point that starts at `offset`; text must be well-formed.
std::size_t code_point_bytes(std::string_view text, std::size_t offset);
// Largest offset <= `bytes` that does not cut a code point.
std::size_t floor_to_code_point(std::string_view text, std::size_t bytes);

// For a terminal: control characters, C1 controls, bidirectional overrides and isolates, zero-width
// characters and ill-formed bytes are spelled out as \x1b or \u{202e}. '\n' and '\t' stay where
// `keep_lines`.
std::string escape_for_terminal(std::string_view text, bool keep_lines);
// Control bytes as escapes and cut to `most_bytes`, for quoting input inside an error message.
std::string quote_for_message(std::string_view text, std::size_t most_bytes = 80);

// "1,234,567".
std::string with_thousands(std::int64_t value);

}  // namespace nestor
