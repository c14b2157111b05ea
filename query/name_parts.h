// Names of code taken apart: snake_case, camelCase, dotted.names; and elisions, versions, Korean
// words with foreign ones. Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nestor::query {

struct NamePart {
  std::uint32_t begin = 0;  // bytes of the word
  std::uint32_t end = 0;
  bool number = false;  // digits with points, commas or apostrophes between them
};

// The parts of one word as Unicode's word rules give it, without the separators between them; the
// word itself where there is nothing to take apart.
//   getHTTPPage   get, HTTP, Page       getURLs       get, URLs
//   python3.11    python, 3.11          v1.2.3        1.2.3 (the v goes)
//   l'eau         l, eau                don't         don't, where `contractions` stay together
//   C언어를       C, 언어를             3.14, utf8    as they are
// An apostrophe between letters of other scripts than Latin separates nothing.
std::vector<NamePart> split_name(std::string_view word, bool contractions);

}  // namespace nestor::query
