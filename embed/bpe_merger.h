// BpeMerger: byte pair encoding of one stretch of text, as sentencepiece does it: the best-ranked
// pair of neighbours merges first, the leftmost of equals, until none is left.
//
// Threads: holds scratch; one thread at a time.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "embed/bpe_table.h"

namespace nestor::embed {

class BpeMerger {
 public:
  struct Symbol {
    std::uint32_t id = BpeTable::kNone;  // kNone: a character of no piece
    std::uint32_t begin = 0;             // of its bytes in the text
    std::uint32_t end = 0;
  };

  // The symbols that are left, in order; good until the next call. REQUIRES: well-formed UTF-8 with
  // spaces for U+2581, no user-defined piece inside, under 4 GiB.
  // Cost: O(n log n), about 60 bytes a character.
  const std::vector<Symbol>& merge(const BpeTable& table, std::string_view text);

 private:
  void split(const BpeTable& table, std::string_view text);
  void merge_all(const BpeTable& table);

  // What a symbol and the next one merge into, and how soon.
  struct Pair {
    std::uint32_t rank = BpeTable::kNone;
    std::uint32_t merged = BpeTable::kNone;
  };
  static Pair pair_of(const BpeTable& table, std::uint32_t left, std::uint32_t right) {
    const std::uint32_t merged = table.merged(left, right);
    return merged == BpeTable::kNone ? Pair() : Pair{table.rank(merged), merged};
  }
  struct Links {
    std::uint32_t previous, next;
  };
  void push(std::uint32_t at);

  std::vector<Symbol> symbols_;
  std::vector<Pair> pairs_;  // [i]: symbol i and the one after it
  std::vector<Links> links_;
  std::vector<std::uint64_t> agenda_;  // a heap of rank << 32 | index, least first
};

}  // namespace nestor::embed
