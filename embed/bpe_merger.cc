#include "embed/bpe_merger.h"

#include <algorithm>
#include <functional>

#include "embed/code_point.h"

namespace nestor::embed {

const std::vector<BpeMerger::Symbol>& BpeMerger::merge(const BpeTable& table,
                                                       std::string_view text) {
  split(table, text);
  merge_all(table);
  return symbols_;
}

void BpeMerger::split(const BpeTable& table, std::string_view text) {
  symbols_.clear();
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint character = decode_code_point(text, at);
    const auto begin = static_cast<std::uint32_t>(at);
    at += character.bytes;
    symbols_.push_back({table.character(character.value), begin, static_cast<std::uint32_t>(at)});
  }
  pairs_.assign(symbols_.size(), Pair());
  for (std::size_t i = 0; i + 1 < symbols_.size(); ++i) {
    pairs_[i] = pair_of(table, symbols_[i].id, symbols_[i + 1].id);
  }
}

void BpeMerger::push(std::uint32_t at) {
  if (pairs_[at].rank == BpeTable::kNone) return;
  agenda_.push_back(static_cast<std::uint64_t>(pairs_[at].rank) << 32 | at);
  std::push_heap(agenda_.begin(), agenda_.end(), std::greater<>());
}

void BpeMerger::merge_all(const BpeTable& table) {
  const auto count = static_cast<std::uint32_t>(symbols_.size());
  links_.resize(count);
  agenda_.clear();
  for (std::uint32_t i = 0; i < count; ++i) {
    links_[i] = {i - 1, i + 1};  // the first's previous wraps to kNone
    if (pairs_[i].rank != BpeTable::kNone) {
      agenda_.push_back(static_cast<std::uint64_t>(pairs_[i].rank) << 32 | i);
    }
  }
  std::make_heap(agenda_.begin(), agenda_.end(), std::greater<>());
  while (!agenda_.empty()) {
    std::pop_heap(agenda_.begin(), agenda_.end(), std::greater<>());
    const auto at = static_cast<std::uint32_t>(agenda_.back());
    const auto rank = static_cast<std::uint32_t>(agenda_.back() >> 32);
    agenda_.pop_back();
    // The pair has changed or gone since. One of equal rank in its place has the same turn.
    if (pairs_[at].rank != rank) continue;
    const std::uint32_t right = links_[at].next;
    const std::uint32_t after = links_[right].next;
    const std::uint32_t before = links_[at].previous;
    symbols_[at] = {pairs_[at].merged, symbols_[at].begin, symbols_[right].end};
    symbols_[right].end = symbols_[right].begin;  // empty: gone
    pairs_[at] = pairs_[right] = Pair();
    links_[at].next = after;
    if (after < count) {
      links_[after].previous = at;
      pairs_[at] = pair_of(table, symbols_[at].id, symbols_[after].id);
      push(at);
    }
    if (before < count) {
      pairs_[before] = pair_of(table, symbols_[before].id, symbols_[at].id);
      push(before);
    }
  }
  std::erase_if(symbols_, [](const Symbol& symbol) { return symbol.begin == symbol.end; });
}

}  // namespace nestor::embed
