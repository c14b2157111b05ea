// Snippet: the part of a passage that shows why it was found. Threads: a SnippetMaker belongs to
// one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/document.h"
#include "nestor/status.h"
#include "query/keyword_query.h"
#include "query/text_analysis.h"
#include "query/text_breaks.h"

namespace nestor::query {

struct Snippet {
  ByteRange bytes;                 // of the passage; no grapheme cluster is cut
  std::vector<ByteRange> matches;  // of the passage, within `bytes`, ascending, apart
};

class SnippetMaker {
 public:
  // The analyzer is that of the collection and outlives the maker.
  explicit SnippetMaker(TextAnalyzer& analyzer) : analyzer_(analyzer) {}

  // About `target_bytes` of `passage` with the most of the query's words, each different one
  // counting first and the earliest such window winning; the passage's beginning where none stands
  // in it, as for a passage that only its vector found. Begins and ends between words where it can.
  // Errors: kInternal (ICU). Cost: linear in the passage.
  Result<Snippet> make(std::string_view passage, const KeywordQuery& query,
                       std::int64_t target_bytes = 200);

 private:
  TextAnalyzer& analyzer_;
  TextBreaks breaks_;
};

}  // namespace nestor::query
