// TermForms: how the words of a passage are written as stored terms, so that one list answers for
// all words of a stem and a part of it for one word alone.
//
//   stem                  the word is its own stem
//   stem 0x01 form        another word of that stem; `form` says how it ends
//   stem 0x01 0x01        a variant: another spelling of a word that stands beside it, which no
//                         word in quotes finds
//
// The bytes are STORED: a change of them is a new kAnalysisVersion (passage_terms.cc).
// Threads: free functions and values, safe anywhere.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nestor::query {

// Longer stems are cut and end in a hash of the whole.
inline constexpr std::size_t kMostStemBytes = 110;

// What is looked up: one stored term, or (`forms`) a stem with all of its words and variants.
struct TermLookup {
  std::string term;
  bool forms = false;
  [[nodiscard]] bool matches(std::string_view stored) const;
  bool operator==(const TermLookup&) const = default;
};
// One or several lookups that must all stand at one position of a passage.
using TermsTogether = std::vector<TermLookup>;
// Stands where any one of its elements does; nowhere when it is empty.
using TermChoice = std::vector<TermsTogether>;

// The terms of a word with that stem, and of a variant.
std::string word_term(std::string_view stem, std::string_view word);
std::string variant_term(std::string_view stem);
// All words and variants of a stem.
TermLookup stem_lookup(std::string_view stem);

// Long words of letters, which may be compounds, have their terms side by side, so that those that
// contain another word are found. A word is looked for inside of them only where it has
// no postings itself.
inline constexpr std::string_view kLongWords = "\3";  // what all their terms begin with
// Whether such words may contain this stem.
bool may_be_inside(std::string_view stem);
// Whether the term is one of a long word that contains `stem` and is longer.
bool is_inside(std::string_view stem, std::string_view stored);

}  // namespace nestor::query
