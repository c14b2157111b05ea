// Where a text may be cut, by Unicode's rules (ICU): sentences, line-break opportunities (words in
// most scripts, by dictionary in Thai and its neighbours), grapheme clusters. Offsets are bytes of
// UTF-8. Threads: a TextBreaks belongs to one thread; it keeps ICU's iterators, which are dear to
// make.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::query {

class TextBreaks {
 public:
  TextBreaks();
  ~TextBreaks();
  TextBreaks(const TextBreaks&) = delete;
  TextBreaks& operator=(const TextBreaks&) = delete;

  // Ends of the pieces of `text`, ascending, the last one text.size(); empty for an empty text.
  // A line end alone ends no sentence, for most texts are wrapped by hand; one before a list item
  // does. REQUIRES: well-formed UTF-8 of less than 2 GiB. Errors: kInternal (ICU's name of the
  // failure). Cost: one pass over the text.
  Result<std::vector<std::int32_t>> sentence_ends(std::string_view text);
  Result<std::vector<std::int32_t>> line_break_ends(std::string_view text);
  Result<std::vector<std::int32_t>> grapheme_ends(std::string_view text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Unicode's White_Space and the byte order mark: what may lie between passages.
bool is_space(char32_t code_point);
// `text` without such at either end, as offsets into it; both are text.size() when nothing else is
// there.
struct Trimmed {
  std::size_t begin = 0;
  std::size_t end = 0;
};
Trimmed trim(std::string_view text);

}  // namespace nestor::query
