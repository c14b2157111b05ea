// TermOutput: where the words that text_analysis finds go to: the tokens of a passage, or the words
// of a query. Threads: an object belongs to one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "query/text_analysis.h"

namespace nestor::query {

struct TextSpan {
  std::uint32_t begin = 0;  // bytes of the text
  std::uint32_t end = 0;
};

// What a query looks up for a word besides its stem; empty for the word of a passage.
struct OtherSpellings {
  std::vector<std::string> also;       // stems
  std::vector<std::string> otherwise;  // stems: where no passage has one of the others
  std::string inside;                  // as QueryWord
};

class TermOutput {
 public:
  TermOutput(std::vector<TextToken>& tokens, std::uint32_t first_position)
      : tokens_(&tokens), position_(first_position) {}
  explicit TermOutput(std::vector<QueryWord>& words) : words_(&words) {}

  [[nodiscard]] bool is_query() const { return words_ != nullptr; }
  [[nodiscard]] std::uint32_t position() const { return position_; }

  // A word at the next position.
  void add_word(TextSpan span, std::string_view stem, std::string_view word,
                const OtherSpellings& others = {});
  // Korean, of pairs of syllables that stand together: at the next position.
  void add_pairs(const std::vector<TextSpan>& spans, const std::vector<std::string>& pairs);
  // What such a word may be found by as well; queries only.
  void add_pairs_beside(const std::vector<std::string>& pairs);
  // A name whose parts are the next words, or a shorter word within the next one: stands at the
  // next position and takes none.
  void add_beside(TextSpan span, std::string_view stem);
  // The same for passages only.
  void add_variant(TextSpan span, std::string_view stem);
  // The next word under another stem; passages only.
  void add_stem(TextSpan span, std::string_view stem, std::string_view word);
  // A name that a query looks for alone, of `parts` words: a passage has them besides.
  void add_name_alone(std::string_view stem, std::uint32_t parts);

 private:
  std::vector<TextToken>* tokens_ = nullptr;
  std::vector<QueryWord>* words_ = nullptr;
  std::uint32_t position_ = 0;
};

}  // namespace nestor::query
