// TextWalk: from the segments of a text to its words: names are taken apart and put together,
// words folded, stemmed and given their other spellings.
// Threads: an object belongs to one thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "query/han_words.h"
#include "query/name_parts.h"
#include "query/term_output.h"
#include "query/text_segments.h"
#include "query/word_folding.h"
#include "query/word_stemmer.h"

namespace nestor::query {

struct WordTools {
  WordFolder folder;
  WordStemmer stemmer;
  HanWords han;
};

class TextWalk {
 public:
  // All are borrowed.
  TextWalk(std::string_view text, const std::vector<TextSegment>& segments, WordTools& tools,
           TermOutput& output)
      : text_(text), segments_(segments), tools_(tools), output_(output) {}

  // Errors: kInternal (ICU).
  Status run();

 private:
  [[nodiscard]] std::string_view text_of(TextSpan span) const;
  [[nodiscard]] char byte_before(std::size_t at) const;
  [[nodiscard]] char byte_at(std::size_t at) const;

  bool take_simple_word(const TextSegment& segment);
  // The last of the segments that belong together with `first`.
  std::size_t last_joined(std::size_t first);
  [[nodiscard]] bool are_joined(const TextSegment& a, const TextSegment& b) const;
  Status take_group(std::size_t first, std::size_t last);
  Status take_joined_name(std::size_t first, std::size_t last, bool& alone);
  Status take_segment(std::size_t index);

  // Names with a sign. True: the word stands for it already.
  Result<bool> take_signs_before(std::size_t first, std::size_t last);
  bool take_signs_after(TextSpan word);

  Status take_word(TextSpan segment);
  Status take_part(TextSpan part);
  void add_name_with_major(std::uint32_t begin, const NamePart& name, const NamePart& number);
  Status take_number(TextSpan part);
  Status take_ideographs(std::size_t index);
  void take_hangul(TextSpan part, const std::string& word);
  void add_parts_of_mixed(TextSpan part, std::string_view word, std::string_view stem);
  Result<OtherSpellings> other_spellings(std::string_view raw, const std::string& word,
                                         const std::string& stem);
  [[nodiscard]] std::vector<NamePart> parts_of(std::string_view raw) const;
  Result<std::string> folded(std::string_view raw) const;
  // A name in one piece, folded, without the signs between its parts.
  Result<std::string> joined_name(std::string_view raw) const;
  std::string stem_of(const std::string& word);

  std::string_view text_;
  const std::vector<TextSegment>& segments_;
  WordTools& tools_;
  TermOutput& output_;
  std::size_t single_until_ = 0;  // segments before it belong to nothing
};

}  // namespace nestor::query
