// The definition of the scan kernels: plain loops, no instruction set.
#include "index/scan_kernels.h"

namespace nestor::index {
namespace {

// Four codes of a word at a time against four weights.
std::int32_t word_sum(std::uint32_t word, int bits, const std::int8_t* weights,
                      std::int64_t plane_stride) {
  const std::uint32_t mask = (1U << bits) - 1;
  std::int32_t sum = 0;
  for (int plane = 0; plane < 8 / bits; ++plane, weights += plane_stride) {
    for (int lane = 0; lane < 4; ++lane) {
      const std::uint32_t code = word >> (8 * lane + plane * bits) & mask;
      sum += static_cast<std::int32_t>(code) * weights[lane];
    }
  }
  return sum;
}

std::int64_t scan(const ScanTask& task) {
  std::int64_t kept = 0;
  const std::int64_t word_weights = 4 * (8 / task.bits);
  for (std::int64_t block = task.block_begin; block < task.block_end; ++block) {
    const std::uint32_t* codes = task.blocks + block * task.words * kBlockRows;
    for (std::int64_t lane = 0; lane < kBlockRows; ++lane) {
      const std::int64_t row = block * kBlockRows + lane;
      if ((task.live[row / 64] >> (row % 64) & 1) == 0) continue;
      std::int32_t sum = 0;
      for (std::int64_t word = 0; word < task.words; ++word) {
        sum += word_sum(codes[word * kBlockRows + lane], task.bits,
                        task.weights + word * word_weights, 4);
      }
      if (sum < task.threshold) continue;
      task.scores[kept] = sum;
      task.positions[kept] = task.first_position + static_cast<std::uint32_t>(row);
      ++kept;
    }
  }
  return kept;
}

void score_rows(const RowsTask& task) {
  const std::int64_t planes = 8 / task.bits;
  for (std::int64_t i = 0; i < task.count; ++i) {
    const std::int64_t row =
        task.rows == nullptr ? i : static_cast<std::int64_t>(task.rows[i] - task.first_row);
    const std::uint32_t* codes = task.codes + row * task.words;
    std::int32_t sum = 0;
    for (std::int64_t word = 0; word < task.words; ++word) {
      const std::int64_t first = (word / 16 * planes * 16 + word % 16) * 4;
      sum += word_sum(codes[word], task.bits, task.row_weights + first, 64);
    }
    task.scores[i] = sum;
  }
}

std::int64_t count_at_least(const std::int32_t* scores, std::int64_t count,
                            std::int32_t threshold) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) found += scores[i] >= threshold ? 1 : 0;
  return found;
}

constexpr ScanKernels kScalar{"scalar", scan, score_rows, count_at_least, nullptr};

}  // namespace

const ScanKernels& scalar_scan_kernels() { return kScalar; }

}  // namespace nestor::index
