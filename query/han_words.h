// Chinese and Japanese words as ICU's dictionary has them, and the shorter words within them.
// Threads: a HanWords belongs to one thread; the free functions are safe anywhere.
#pragma once

#include <unicode/brkiter.h>
#include <unicode/umachine.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nestor/status.h"

namespace nestor::query {

bool is_han(UChar32 c);
// The simplified character for a traditional one, `c` itself for all others. Source: ICU's
// transform Hant-Hans; `c` where that is missing. Cost: the first call of a process some 10 ms.
UChar32 simplified_han(UChar32 c);

// Bytes of a word, from its beginning.
struct WordPiece {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// The stretches of at least two characters of Han or of Katakana in a word of both (東京 and タワー
// of 東京タワー), in order; none in all other words.
std::vector<WordPiece> stretches_of_scripts(std::string_view word);

class HanWords {
 public:
  // The words of at least two characters that a longer word is made of, theirs as well: the fewest
  // that cover it, longer ones first. None for a word below three or above twelve characters.
  // Errors: kInternal (ICU, or ICU without its data). Cost: some 20 us per different word.
  Result<std::vector<WordPiece>> pieces(std::string_view word);

 private:
  Result<bool> is_word(std::string_view text);
  Status find_pieces(std::string_view word, const std::vector<std::size_t>& borders,
                     std::size_t first, std::size_t last, std::vector<WordPiece>& pieces);

  std::unique_ptr<icu::BreakIterator> words_;  // null before the first word
  std::unordered_map<std::string, std::vector<WordPiece>> known_;
};

}  // namespace nestor::query
