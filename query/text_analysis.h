// TextAnalyzer: a text into the terms that keyword search compares. Words by Unicode's rules (ICU;
// dictionaries for Thai and its neighbours, Chinese and Japanese), NFKC case folding, stems
// (libstemmer), no accents over Latin and Greek letters. Names of code stand whole and in parts:
// os.path.joinPath gives "os.path.joinpath" and os, path, join, path.
//
// Threads: an analyzer belongs to one thread; it keeps ICU's and libstemmer's objects, which are
// dear to make.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::query {

// The collection attribute that names the language. STORED: another value needs other postings.
inline constexpr const char* kLanguageAttribute = "nestor.language";
// English stems for words that are ASCII once their accents are gone, all others as they are.
inline constexpr const char* kAutoLanguage = "auto";
// Longer terms are cut and end in a hash of the whole. STORED.
inline constexpr std::size_t kMostTermBytes = 128;

struct TextToken {
  std::string term;            // 1 to kMostTermBytes bytes of UTF-8 without NUL
  std::uint32_t position = 0;  // parts of a name count up, its whole form has that of its first
  std::uint32_t begin = 0;     // bytes of the text given
  std::uint32_t end = 0;
  bool whole = false;  // a name of code in one piece; its parts stand beside it
};

class TextAnalyzer {
 public:
  // "auto", "none" (no stems), or a language of libstemmer: english, german, french, ...
  // Errors: kInvalidArgument (lists the languages), kInternal (ICU without its data).
  static Result<std::unique_ptr<TextAnalyzer>> make(const std::string& language);
  ~TextAnalyzer();
  TextAnalyzer(const TextAnalyzer&) = delete;
  TextAnalyzer& operator=(const TextAnalyzer&) = delete;

  // Appends the tokens in the order of the text, positions from `first_position` on; returns the
  // first position after them. Any bytes will do; ill-formed ones are no part of a word.
  // REQUIRES: less than 2 GiB. Errors: kInternal (ICU). Cost: linear, some 6 MB a second.
  Result<std::uint32_t> analyze(std::string_view text, std::uint32_t first_position,
                                std::vector<TextToken>& tokens);

 private:
  struct Impl;
  explicit TextAnalyzer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor::query
