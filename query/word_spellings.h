// Other spellings of a query's word under which it may stand in a text.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nestor::query {

// ä, ö, ü, ø and å written with two letters: ae, oe, ue, oe, aa. Of a folded word with its
// accents; empty where it has none of these.
std::string with_digraphs(std::string_view accented);
// ae, oe, ue and aa each as their first letter, which is what the others are folded to. Of a folded
// word; empty where it has none of them or fewer than four letters.
std::string without_digraphs(std::string_view word);
// Where a folded word such as oauth2 or 10km turns from letters to digits or back, if it does so
// once and has nothing else.
std::optional<std::size_t> letter_digit_border(std::string_view word);
// What stands behind the digits of 1st, 2nd, 3rd, 4th.
bool is_ordinal_ending(std::string_view text);
// A Hebrew word with the prefixes it takes (and, the, in, to, as, from, that), alone and in pairs;
// also the word without "and" or "the" before it. Empty for other words and single letters.
std::vector<std::string> hebrew_spellings(std::string_view word);

}  // namespace nestor::query
