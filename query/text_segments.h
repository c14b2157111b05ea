// TextSegments: where the words of a text stand, as ICU's rules and dictionaries have them, and
// what else a reader takes for a word: emoji, and signs that stand for letters or digits.
// Threads: an object belongs to one thread.
#pragma once

#include <unicode/brkiter.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::query {

// Breaks texts into words by Unicode's rules. Errors: kInternal (ICU without its data). Cost: the
// first of a process some 0.2 ms, the others some us.
Result<std::unique_ptr<icu::BreakIterator>> make_word_breaks();

enum class SegmentKind : std::uint8_t {
  kWord,        // letters and digits
  kIdeographs,  // a word by the dictionary of Chinese and Japanese
  kSymbol,      // an emoji, ½, ™, …
  kAttached,    // ², ₂, №: belongs to the word or number that touches it
};

struct TextSegment {
  std::uint32_t begin = 0;  // bytes of the text
  std::uint32_t end = 0;
  SegmentKind kind = SegmentKind::kWord;
};

class TextSegments {
 public:
  // Errors: kInternal (ICU without its data).
  static Result<TextSegments> make();
  // Ascending, apart. No segment holds an at sign: whether words are joined by it is a matter of
  // ICU's version. REQUIRES: less than 2 GiB. Errors: kInternal (ICU). Cost: linear.
  Result<std::vector<TextSegment>> find(std::string_view text);

 private:
  explicit TextSegments(std::unique_ptr<icu::BreakIterator> words) : words_(std::move(words)) {}
  std::unique_ptr<icu::BreakIterator> words_;
};

}  // namespace nestor::query
