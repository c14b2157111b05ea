// What a person typed, as keyword search understands it: words, "phrases in quotes", -left -"out",
// +required. Threads: free functions and values; the analyzer belongs to the calling thread.
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

struct PhraseTerm {
  std::string term;
  std::uint32_t offset = 0;  // from the phrase's first word
};

struct KeywordQuery {
  std::vector<std::string> terms;                  // that score, each once, in the order typed
  std::vector<std::vector<PhraseTerm>> required;   // a passage has all of these
  std::vector<std::vector<PhraseTerm>> forbidden;  // and none of these
  std::size_t terms_left_out = 0;
};

// A sign counts at a word's start, before a quote or at least two bytes that begin with no digit:
// "-f" and "-1" are words. A quote without its partner is none. Errors: kInternal (ICU).
Result<KeywordQuery> parse_keyword_query(std::string_view text, TextAnalyzer& analyzer);

}  // namespace nestor::query
