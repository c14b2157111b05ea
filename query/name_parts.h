// Names of code taken apart: snake_case, camelCase, dotted.names. Threads: free functions, safe
// anywhere.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace nestor::query {

struct NamePart {
  std::uint32_t begin = 0;  // bytes of the word
  std::uint32_t end = 0;
};

// The parts of one word as Unicode's word rules give it, without the separators between them; the
// word itself where there is nothing to take apart. getHTTPPage gives get, HTTP, Page. Numbers
// such as 3.14 stay whole. An apostrophe separates where `split_apostrophes` (l'eau, not don't).
std::vector<NamePart> split_name(std::string_view word, bool split_apostrophes);

}  // namespace nestor::query
