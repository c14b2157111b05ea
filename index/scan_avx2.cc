// Scan kernels for AVX2 alone (Haswell and later, all Zens): 8 rows a step, multiply-add of bytes
// into 16-bit sums that are widened before they can overflow.
#include "index/scan_kernels.h"

#if defined(__x86_64__) && defined(__AVX2__)

#include <immintrin.h>

#include "index/scan_walk.h"

namespace nestor::index {
namespace {

// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits and saturates, so codes
// of 8 bits are taken as two of 4. The largest sum of one word: 8 * 2 * 127 (1 bit), 4 * 6 * 127 (2
// bits), 2 * 30 * 127 (4 and 8 bits, each half apart for 8: 30 * 127); four words stay below 2^15.
constexpr std::int64_t kWordsBeforeWidening = 4;

template <int Bits>
struct Sums {
  __m256i narrow[Bits == 8 ? 2 : 1];
  __m256i wide;

  void clear() {
    for (__m256i& sum : narrow) sum = _mm256_setzero_si256();
  }
  void start() {
    clear();
    wide = _mm256_setzero_si256();
  }
  // `weights(plane)` gives the 32 weights of a plane.
  template <typename Weights>
  void add(__m256i packed, const Weights& weights) {
    const __m256i low = _mm256_set1_epi8(Bits == 8 ? 15 : (1 << Bits) - 1);
    if constexpr (Bits == 8) {
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(packed, 4), low);
      narrow[0] = _mm256_add_epi16(narrow[0],
                                   _mm256_maddubs_epi16(_mm256_and_si256(packed, low), weights(0)));
      narrow[1] = _mm256_add_epi16(narrow[1], _mm256_maddubs_epi16(high, weights(0)));
    } else {
      for (int plane = 0; plane < 8 / Bits; ++plane) {
        const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(packed, plane * Bits), low);
        narrow[0] = _mm256_add_epi16(narrow[0], _mm256_maddubs_epi16(codes, weights(plane)));
      }
    }
  }
  void widen() {
    const __m256i ones = _mm256_set1_epi16(1);
    wide = _mm256_add_epi32(wide, _mm256_madd_epi16(narrow[0], ones));
    if constexpr (Bits == 8) {
      wide = _mm256_add_epi32(wide, _mm256_slli_epi32(_mm256_madd_epi16(narrow[1], ones), 4));
    }
    clear();
  }
};

inline std::int32_t four_weights(const std::int8_t* weights) {
  std::int32_t four;
  __builtin_memcpy(&four, weights, 4);
  return four;
}

template <int Bits>
inline __m256i half_block_scores(const std::uint32_t* codes, std::int64_t words,
                                 const std::int8_t* weights) {
  constexpr int kPlanes = 8 / Bits;
  Sums<Bits> sums;
  sums.start();
  for (std::int64_t word = 0; word < words; ++word) {
    const __m256i packed =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + word * kBlockRows));
    sums.add(packed, [&](int plane) {
      return _mm256_set1_epi32(four_weights(weights + (word * kPlanes + plane) * 4));
    });
    if (word % kWordsBeforeWidening == kWordsBeforeWidening - 1) sums.widen();
  }
  sums.widen();
  return sums.wide;
}

template <int Bits>
std::int64_t scan_bits(const ScanTask& task) {
  const __m256i below = _mm256_set1_epi32(task.threshold);
  std::int64_t kept = 0;
  for (std::int64_t block = task.block_begin; block < task.block_end; ++block) {
    const std::uint64_t live = task.live[block / 4] >> (block % 4 * 16) & 0xFFFF;
    if (live == 0) continue;
    const std::uint32_t* codes = task.blocks + block * task.words * kBlockRows;
    alignas(32) std::int32_t scores[kBlockRows];
    unsigned keep = 0;
    for (int half = 0; half < 2; ++half) {
      const __m256i found = half_block_scores<Bits>(codes + half * 8, task.words, task.weights);
      _mm256_store_si256(reinterpret_cast<__m256i*>(scores + half * 8), found);
      const __m256i less = _mm256_cmpgt_epi32(below, found);
      keep |= (~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(less))) & 0xFFU)
              << (half * 8);
    }
    for (keep &= static_cast<unsigned>(live); keep != 0; keep &= keep - 1) {
      const int lane = __builtin_ctz(keep);
      task.scores[kept] = scores[lane];
      task.positions[kept] =
          task.first_position + static_cast<std::uint32_t>(block * kBlockRows + lane);
      ++kept;
    }
  }
  return kept;
}

std::int64_t scan(const ScanTask& task) {
  return with_bits(task.bits, [&](auto bits) { return scan_bits<bits.kBits>(task); });
}

inline std::int32_t lane_sum(__m256i lanes) {
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1)));
}

template <int Bits>
void score_rows_bits(const RowsTask& task) {
  constexpr std::int64_t kPlanes = 8 / Bits;
  const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  score_each_row(
      task, [&](const std::uint32_t* codes) __attribute__((always_inline)) {
        Sums<Bits> sums;
        sums.start();
        for (std::int64_t word = 0; word < task.words; word += 8) {
          const __m256i left = _mm256_set1_epi32(static_cast<int>(task.words - word));
          const __m256i packed = _mm256_maskload_epi32(reinterpret_cast<const int*>(codes + word),
                                                       _mm256_cmpgt_epi32(left, lanes));
          const std::int8_t* weights =
              task.row_weights + (word / 16 * kPlanes * 16 + word % 16) * 4;
          sums.add(packed, [&](int plane) {
            return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + plane * 64));
          });
          if (word / 8 % kWordsBeforeWidening == kWordsBeforeWidening - 1) sums.widen();
        }
        sums.widen();
        return lane_sum(sums.wide);
      });
}

void score_rows(const RowsTask& task) {
  with_bits(task.bits, [&](auto bits) { score_rows_bits<bits.kBits>(task); });
}

std::int64_t count_at_least(const std::int32_t* scores, std::int64_t count,
                            std::int32_t threshold) {
  const __m256i below = _mm256_set1_epi32(threshold);
  std::int64_t less = 0;
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(scores + i));
    const __m256i found = _mm256_cmpgt_epi32(below, values);
    less +=
        __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(found))));
  }
  for (; i < count; ++i) less += scores[i] < threshold ? 1 : 0;
  return count - less;
}

constexpr ScanKernels kAvx2{"avx2", scan, score_rows, count_at_least, nullptr};

}  // namespace

const ScanKernels* avx2_scan_kernels() { return &kAvx2; }

}  // namespace nestor::index

#else

namespace nestor::index {
const ScanKernels* avx2_scan_kernels() { return nullptr; }
}  // namespace nestor::index

#endif
