// TextAnalyzer: a text into the terms that keyword search compares, and a query's words into what
// is looked up. Words by Unicode's rules (ICU; its dictionaries for Thai and its neighbours,
// Chinese and Japanese), folded (word_folding.h), stemmed (word_stemmer.h), with the words as
// written beside the stems (term_forms.h). Names of code stand whole and in parts: os.path.joinPath
// gives "ospathjoinpath" and os, path, join, path, so that user_id, userId and user-id find one
// another. Names that end or begin with a sign keep it: C++, C#, R&D, .NET.
//
// Threads: an analyzer belongs to one thread; it keeps ICU's and libstemmer's objects.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "query/term_forms.h"

namespace nestor::query {

// The collection attribute that names the language. STORED: another value needs other postings.
inline constexpr const char* kLanguageAttribute = "nestor.language";
// Stems by the script of each word, English ones for Latin letters.
inline constexpr const char* kAutoLanguage = "auto";

struct TextToken {
  std::string term;            // as stored: 1 to storage::kMostTermBytes bytes without NUL
  std::uint32_t position = 0;  // of its word; a variant or a whole name has that of the first part
  std::uint32_t begin = 0;     // bytes of the text given
  std::uint32_t end = 0;
};

// One word of a query.
struct QueryWord {
  TermChoice any;           // what scores
  TermChoice otherwise;     // what scores instead where no passage has any of these
  std::string inside = {};  // and instead of that: long words that contain this stem
  // The word as written, case and accents folded. Empty for what only stands beside the words of a
  // phrase: a name whose parts follow, a shorter word within a long one.
  TermChoice written = {};
  std::uint32_t position = 0;
};

class TextAnalyzer {
 public:
  // "auto", "none" (no stems), or a language of libstemmer: english, german, french, ...
  // Errors: kInvalidArgument (lists the languages), kInternal (ICU without its data).
  static Result<std::unique_ptr<TextAnalyzer>> make(const std::string& language);
  ~TextAnalyzer();
  TextAnalyzer(const TextAnalyzer&) = delete;
  TextAnalyzer& operator=(const TextAnalyzer&) = delete;

  // Appends the tokens in the order of their positions, from `first_position` on; returns the first
  // position after them. Any bytes will do; ill-formed ones are no part of a word.
  // REQUIRES: less than 2 GiB. Errors: kInternal (ICU). Cost: linear, some 9 MB a second.
  Result<std::uint32_t> analyze(std::string_view text, std::uint32_t first_position,
                                std::vector<TextToken>& tokens);
  // Positions count from 0 as those of `analyze` do. As above.
  Result<std::vector<QueryWord>> analyze_query(std::string_view text);

  [[nodiscard]] const std::string& language() const;

 private:
  struct Impl;
  explicit TextAnalyzer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor::query
