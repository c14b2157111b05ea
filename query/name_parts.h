// Names of code taken apart: snake_case, camelCase, dotted.names; and elisions, versions, Korean
// words with foreign ones. Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace nestor::query {

struct NamePart {
  std::uint32_t begin = 0;  // bytes of the word
  std::uint32_t end = 0;
  bool number = false;  // digits with points, commas or apostrophes between them
  // The part before and this one are one word, which only a capital, a version's v or a zero-width
  // non-joiner takes apart.
  bool continues = false;
};

// The parts of one word as Unicode's word rules give it, without the separators between them; the
// word itself where there is nothing to take apart.
//   getHTTPPage   get, HTTP, Page       getURLs       get, URLs
//   python3.11    python, 3.11          v1.2.3        1.2.3 (the v goes)
//   TLSv1.2       TLS, 1.2              IPv4          IP, v4
//   l'eau         l, eau                don't         don't, where `contractions` stay together
//   C언어를       C, 언어를             3.14, utf8    as they are
// An apostrophe between letters of other scripts than Latin separates nothing.
std::vector<NamePart> split_name(std::string_view word, bool contractions);

// The sign of .NET, -name, @name or #name, ASCII whatever dash or minus sign is written.
struct NameSign {
  char sign = 0;            // . - @ #
  std::uint32_t begin = 0;  // byte of the text
};

// The sign before the word at `begin` of a text; nothing where there is none, or where it belongs
// to what stands before it: a letter or digit, the same sign, a closing bracket, an ampersand.
std::optional<NameSign> sign_before(std::string_view text, std::uint32_t begin);

}  // namespace nestor::query
