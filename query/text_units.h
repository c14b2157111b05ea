// The pieces that passages are put together from: a paragraph, a code block, a heading whole where
// it fits the limit of tokens, otherwise its sentences, lines, and at last fragments cut between
// words, grapheme clusters or code points. Threads: a UnitMaker belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "query/chunker.h"
#include "query/text_blocks.h"
#include "query/text_breaks.h"

namespace nestor::query {

struct TextUnit {
  std::size_t begin = 0;  // bytes, both ends without white space
  std::size_t end = 0;
  std::int64_t tokens = 0;  // of it alone; over the limit only for a single code point
  int section = 0;
  BlockKind kind = BlockKind::kProse;
  bool whole = false;  // a block as it stands in the text; else a part of one
};

class UnitMaker {
 public:
  // REQUIRES: limit > 0. `text` and `count_tokens` outlive the maker.
  UnitMaker(std::string_view text, int limit, const TokenCounter& count_tokens);

  // Appends the units of a block. Errors: those of count_tokens; kInternal (ICU).
  // Cost: each byte is counted once, where sentences do not fit about twice.
  Status append(const TextBlock& block, int section, std::vector<TextUnit>& units);
  // The parts of a unit, each a unit of its own: lines of code and tables, sentences of all else.
  Status append_parts(const TextUnit& unit, std::vector<TextUnit>& units);
  // Tokens of text[begin, end). Errors: those of count_tokens.
  Result<std::int64_t> count(std::size_t begin, std::size_t end);

 private:
  Status append_sentences(const TextUnit& unit, std::vector<TextUnit>& units);
  Status append_lines(const TextUnit& unit, std::vector<TextUnit>& units);
  Status append_fragments(const TextUnit& unit, std::vector<TextUnit>& units);
  // The unit itself if it fits, else `split` of it.
  Status append_fitting(TextUnit unit,
                        Status (UnitMaker::*split)(const TextUnit&, std::vector<TextUnit>&),
                        std::vector<TextUnit>& units);

  std::string_view text_;
  std::int64_t limit_;
  const TokenCounter& count_tokens_;
  TextBreaks breaks_;
};

}  // namespace nestor::query
