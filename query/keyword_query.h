// What was typed, as keyword search understands it: words, "phrases in quotes", -excluded,
// -"excluded phrases", +required. The rule for the signs stands in nestor/search.h.
// Threads: free functions and values; the analyzer belongs to the calling thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "query/text_analysis.h"

namespace nestor::query {

// A query asks for no more different terms; those after them are left out.
inline constexpr std::size_t kMostQueryTerms = 1'024;

// What scores. `otherwise` counts where no passage has any of `any`, and where none has that
// either, the long words that contain `inside`.
struct QueryTerm {
  TermChoice any;
  TermChoice otherwise = {};
  std::string inside = {};
  // A name whose parts are terms too, or a shorter word within one: counts where passages have it,
  // and says nothing about how much of the query the others have.
  bool beside = false;
};

struct PhraseWord {
  TermChoice word;
  std::uint32_t offset = 0;  // from the phrase's first word
};

struct Phrase {
  std::string text;  // as typed, without sign and quotes
  std::vector<PhraseWord> words;
  // Of an excluded word: a passage that has this, the option "-word", is kept. Empty: none is.
  TermChoice unless = {};
};

struct KeywordQuery {
  std::vector<QueryTerm> terms;   // that score, each once, in the order typed
  std::vector<Phrase> required;   // a passage has all of these
  std::vector<Phrase> forbidden;  // and none of these
  std::size_t terms_left_out = 0;
  std::string analysis;  // what made the terms; postings of another one do not answer
};

// Errors: kInternal (ICU).
Result<KeywordQuery> parse_keyword_query(std::string_view text, TextAnalyzer& analyzer);

}  // namespace nestor::query
