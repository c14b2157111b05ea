// Korean words: written with their particles, and ICU has no dictionary for them. A word of two or
// more syllables is stored as its pairs of neighbouring syllables and found where all pairs of the
// query's word stand together, so 서울 finds 서울은.
// Threads: free functions, safe anywhere.
#pragma once

#include <string_view>
#include <vector>

#include "query/han_words.h"

namespace nestor::query {

bool is_hangul(UChar32 c);
// Precomposed syllables and nothing else. The functions below require it of their words.
bool is_hangul_word(std::string_view word);
std::size_t hangul_syllables(std::string_view word);
// Every two neighbouring syllables; the word itself where it has one or two.
std::vector<WordPiece> hangul_pairs(std::string_view word);
// The word without the particle or verb ending it ends in: of those that leave two syllables or
// more the longest. The word itself where there is none.
std::string_view without_particle(std::string_view word);
// The first syllable of a word that is nothing but it and a particle; empty for other words.
std::string_view one_syllable_before_particle(std::string_view word);

}  // namespace nestor::query
