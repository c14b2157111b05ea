// The kernels that score codes, one table an instruction set, chosen once at run time. The scalar
// table is the definition; sums are integers, so every other table gives the same bits.
//
// Blocked codes: 16 rows a block, word-major: word k of row r of a block stands at k * 16 + r. A
// scan streams through them. Row codes: one row after the other, for rows picked one by one.
// Kernels allocate nothing and throw nothing. Threads: tables are constants, kernels run anywhere.
#pragma once

#include <cstdint>

namespace nestor::index {

inline constexpr std::int64_t kBlockRows = 16;
// Four weights of codes of 1 bit add up to this at most, so that a table of bytes holds their sums.
inline constexpr int kNibbleBias = 4 * 31;

struct ScanTask {
  const std::uint32_t* blocks = nullptr;  // (blocks, words, 16)
  std::int64_t words = 0;
  int bits = 0;
  std::int64_t block_begin = 0;
  std::int64_t block_end = 0;
  const std::uint64_t* live = nullptr;    // one bit a row, from row 0 of block 0 on
  const std::int8_t* weights = nullptr;   // CodeQuery::weights
  const std::uint8_t* nibbles = nullptr;  // CodeQuery::nibbles, of 1 bit
  std::int32_t threshold = 0;
  std::uint32_t first_position = 0;  // of row 0 of block 0
  // What is kept, in the order of the rows; room for 16 more than there are rows to scan.
  std::int32_t* scores = nullptr;
  std::uint32_t* positions = nullptr;
};

// What one question of a ScanManyTask keeps: as in ScanTask.
struct KeptRows {
  std::int32_t threshold = 0;
  std::int64_t kept = 0;
  std::int32_t* scores = nullptr;
  std::uint32_t* positions = nullptr;
};

// One walk over the codes for many questions.
struct ScanManyTask {
  const std::uint32_t* blocks = nullptr;  // (blocks, words, 16)
  std::int64_t words = 0;
  int bits = 0;
  std::int64_t block_begin = 0;
  std::int64_t block_end = 0;
  const std::uint64_t* live = nullptr;  // one bit a row, from row 0 of block 0 on
  std::uint32_t first_position = 0;     // of row 0 of block 0
  std::int64_t question_count = 0;      // at most kMostQuestions
  // CodeQuery::weights of each question: (question_count up to a multiple of kQuestionTile,
  // many_weights_stride), zero where there is none.
  const std::int8_t* weights = nullptr;
  KeptRows* kept = nullptr;  // (question_count)
  // (kSpreadRows, many_weights_stride) at a multiple of 64 bytes, for codes of this shape alone,
  // zero before the first task.
  std::uint8_t* scratch = nullptr;
};
inline constexpr std::int64_t kQuestionTile = 16;
inline constexpr std::int64_t kMostQuestions = 2 * kQuestionTile;
inline constexpr std::int64_t kSpreadRows = 32;
// Components of a row in whole lines of 64 codes, a byte each.
constexpr std::int64_t many_weights_stride(std::int64_t words, int bits) {
  return (words * (32 / bits) + 63) / 64 * 64;
}

struct RowsTask {
  const std::uint32_t* codes = nullptr;  // (rows, words)
  std::int64_t words = 0;
  int bits = 0;
  const std::int8_t* row_weights = nullptr;  // CodeQuery::row_weights
  const std::uint32_t* rows = nullptr;       // (count), or null: 0 to count - 1
  std::uint32_t first_row = 0;               // taken off each of `rows`
  std::int64_t count = 0;
  std::int32_t* scores = nullptr;  // (count)
};

struct ScanKernels {
  const char* name;
  // Appends every live row of score >= threshold; returns how many.
  std::int64_t (*scan)(const ScanTask& task);
  void (*score_rows)(const RowsTask& task);
  // How many of (count) scores are >= threshold.
  std::int64_t (*count_at_least)(const std::int32_t* scores, std::int64_t count,
                                 std::int32_t threshold);
  // What `scan` does for each question: the same rows, scores and order. Null where the instruction
  // set has nothing better than a scan for each.
  void (*scan_many)(const ScanManyTask& task);
};

const ScanKernels& scalar_scan_kernels();
// Null where this build has no such kernels.
const ScanKernels* avx2_scan_kernels();
const ScanKernels* avx512_scan_kernels();
// Those of AVX-512 with `scan_many` in tiles; null where this build lacks either.
const ScanKernels* amx_scan_kernels();

}  // namespace nestor::index
