// WordFolder: a word without what a reader does not type when he searches for it: case,
// compatibility forms (full-width letters, ligatures), marks that only ornament or vocalise, and
// letters that most keyboards lack. Both the text and the query are folded, so each fold costs the
// distinction it removes:
//
//   Latin       accents go (ñ is n, å is a), æ is ae, ø is o, đ is d, þ is th, dotless ı is i, …
//   Greek       tonos, breathings and final sigma go
//   Cyrillic    ё is е; stress marks and apostrophes go; й, ї and ќ stay letters of their own
//   Arabic      harakat and tatweel go; ا, ي, ك and ه also for their variants with hamza, for
//               alef maqsura, teh marbuta, and the Persian and Urdu letters
//   Hebrew      niqqud, cantillation, geresh and gershayim go
//   Devanagari  nukta goes, candrabindu and a nasal before a stop of its own class are anusvara
//   Han         a traditional character is its simplified one
//   all         decimal digits are 0 to 9; joiners, soft hyphens and variation selectors go
//
// Threads: an object belongs to one thread.
#pragma once

#include <unicode/normalizer2.h>

#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor::query {

enum class Accents : int {
  kDrop = 0,
  kKeep = 1,  // those of Latin and Greek letters, and Latin letters as they are
};

class WordFolder {
 public:
  // Errors: kInternal (ICU without its data).
  static Result<WordFolder> make();
  // Folding a folded word changes nothing. `turkish`: I is the capital of dotless ı.
  // Errors: kInternal (ICU). Cost: about 1 us a word.
  [[nodiscard]] Result<std::string> fold(std::string_view word, Accents accents,
                                         bool turkish = false) const;

 private:
  WordFolder() = default;
  const icu::Normalizer2* casefold_ = nullptr;  // all three are ICU's own and never freed
  const icu::Normalizer2* decompose_ = nullptr;
  const icu::Normalizer2* compose_ = nullptr;
};

}  // namespace nestor::query
