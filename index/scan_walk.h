// What the vector kernels share, whatever the instruction set: bits as a constant, and the walk
// over rows picked one by one. In a nameless namespace: each kernel file is compiled for processors
// of its own, and no other may end up with its instructions. Threads: free functions.
#pragma once

#include <cstdint>

#include "index/scan_kernels.h"

namespace nestor::index {
namespace {

template <int Bits>
struct BitsTag {
  static constexpr int kBits = Bits;
};

// Calls `work` with the tag of 1, 2, 4 or 8 bits.
template <typename Work>
inline auto with_bits(int bits, const Work& work) {
  switch (bits) {
    case 1:
      return work(BitsTag<1>{});
    case 2:
      return work(BitsTag<2>{});
    case 4:
      return work(BitsTag<4>{});
    default:
      return work(BitsTag<8>{});
  }
}

// Into task.scores what `score` makes of the codes of each row.
template <typename Score>
[[gnu::always_inline]] inline void score_each_row(const RowsTask& task, const Score& score) {
  // Rows asked for that far ahead: a row from memory takes longer than scoring eight.
  constexpr std::int64_t kAhead = 12;
  constexpr std::int64_t kLine = 64;
  const auto row_codes = [&](std::int64_t i) {
    return task.codes +
           (task.rows == nullptr ? i : static_cast<std::int64_t>(task.rows[i] - task.first_row)) *
               task.words;
  };
  const std::int64_t row_bytes = task.words * 4;
  for (std::int64_t i = 0; i < task.count; ++i) {
    if (i + kAhead < task.count) {
      const char* next = reinterpret_cast<const char*>(row_codes(i + kAhead));
      for (std::int64_t byte = 0; byte < row_bytes; byte += kLine) __builtin_prefetch(next + byte);
      __builtin_prefetch(next + row_bytes - 1);
    }
    task.scores[i] = score(row_codes(i));
  }
}

}  // namespace
}  // namespace nestor::index
