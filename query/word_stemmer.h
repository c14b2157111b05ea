// WordStemmer: a folded word to its stem.
// Threads: an object belongs to one thread; it keeps libstemmer's objects.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "nestor/status.h"
#include "query/word_folding.h"

struct sb_stemmer;

namespace nestor::query {

class WordStemmer {
 public:
  // "auto": the script decides (Latin: English, without accents; Cyrillic: Russian; Devanagari:
  // Hindi; Greek, Tamil, Armenian; Arabic: light10). A language of libstemmer: its own for the
  // words of its script (Arabic: light10 as well), the others as in auto. "none": a word is its
  // stem. Errors: kInvalidArgument (lists the languages).
  static Result<WordStemmer> make(const std::string& language);
  WordStemmer(WordStemmer&& other) noexcept;
  ~WordStemmer();

  // Of a lower-case word of ASCII letters, digits and apostrophes.
  [[nodiscard]] std::string ascii_stem(std::string_view word);
  // Of a folded word without accents.
  [[nodiscard]] std::string stem(std::string_view word);
  // Whether Latin words are stemmed with their accents on, as their language writes them.
  [[nodiscard]] bool wants_accents() const;
  [[nodiscard]] bool turkish() const;
  // Whether don't and dog's are single words, as in English; other languages elide.
  [[nodiscard]] bool contracts() const;

 private:
  struct Deleter {
    void operator()(sb_stemmer* stemmer) const;
  };
  using Stemmer = std::unique_ptr<sb_stemmer, Deleter>;
  static constexpr std::size_t kScripts = 8;

  WordStemmer();
  [[nodiscard]] std::string stem_with(std::size_t script, std::string_view word);

  std::string language_;
  std::array<const char*, kScripts> algorithms_{};  // null: no stems in this script
  std::array<Stemmer, kScripts> stemmers_;          // made when the first word comes
};

}  // namespace nestor::query
