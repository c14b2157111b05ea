// Other spellings of a query's word under which it may stand in a text.
// Threads: free functions, safe anywhere.
#pragma once

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
// A Hebrew word with the prefixes it takes (and, the, in, to, as, from, that), alone and in pairs;
// also the word without "and" or "the" before it. Empty for other words and single letters.
std::vector<std::string> hebrew_spellings(std::string_view word);

}  // namespace nestor::query
