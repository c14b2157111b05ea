// Scan kernels for AVX-512 with VNNI and VBMI (Ice Lake, Sapphire Rapids, Zen 4): 16 rows a step,
// 64 products or 64 looked-up sums of four an instruction.
#include "index/scan_kernels.h"

#if defined(__x86_64__) && defined(__AVX512VNNI__) && defined(__AVX512VBMI__)

#include <immintrin.h>

#include "index/scan_walk.h"

namespace nestor::index {
namespace {

// Codes of one plane stay where they are in their bytes: their sum comes out 2^(plane * bits) times
// too large and exact, and is shifted once at the end instead of every word.
template <int Bits>
inline __m512i plane_mask(int plane) {
  return _mm512_set1_epi8(static_cast<char>(((1 << Bits) - 1) << (plane * Bits)));
}

template <int Bits>
inline __m512i combine(const __m512i* sums) {
  __m512i total = sums[0];
  for (int plane = 1; plane < 8 / Bits; ++plane) {
    total = _mm512_add_epi32(total, _mm512_srai_epi32(sums[plane], plane * Bits));
  }
  return total;
}

inline std::int32_t four_weights(const std::int8_t* weights) {
  std::int32_t four;
  __builtin_memcpy(&four, weights, 4);
  return four;
}

template <int Bits>
inline __m512i block_scores(const std::uint32_t* codes, std::int64_t words,
                            const std::int8_t* weights) {
  constexpr int kPlanes = 8 / Bits;
  __m512i sums[kPlanes];
  for (int plane = 0; plane < kPlanes; ++plane) sums[plane] = _mm512_setzero_si512();
  for (std::int64_t word = 0; word < words; ++word) {
    const __m512i packed = _mm512_loadu_si512(codes + word * kBlockRows);
    for (int plane = 0; plane < kPlanes; ++plane) {
      const __m512i four = _mm512_set1_epi32(four_weights(weights + (word * kPlanes + plane) * 4));
      const __m512i part = Bits == 8 ? packed : _mm512_and_si512(packed, plane_mask<Bits>(plane));
      sums[plane] = _mm512_dpbusd_epi32(sums[plane], part, four);
    }
  }
  return combine<Bits>(sums);
}

// One bit: a nibble is four components of one byte's place; its sum comes out of a table of 4
// bytes' places times 16, and the products with one add up the four places of a row. 3.5
// instructions for 16 rows of 16 components, where masks and products take 8.
inline __m512i bit_block_scores(const std::uint32_t* codes, std::int64_t words,
                                const std::uint8_t* nibbles) {
  const __m512i ones = _mm512_set1_epi8(1);
  const __m512i low = _mm512_set1_epi8(0x0F);
  const __m512i places = _mm512_set1_epi32(0x30201000);
  constexpr int kMaskThenOr = 0xEA;  // (a & b) | c
  __m512i low_sums = _mm512_set1_epi32(static_cast<int>(-8 * kNibbleBias * words));
  __m512i high_sums = _mm512_setzero_si512();
  for (std::int64_t word = 0; word < words; ++word, nibbles += 128) {
    const __m512i packed = _mm512_loadu_si512(codes + word * kBlockRows);
    const __m512i left = _mm512_ternarylogic_epi32(packed, low, places, kMaskThenOr);
    const __m512i right =
        _mm512_ternarylogic_epi32(_mm512_srli_epi32(packed, 4), low, places, kMaskThenOr);
    low_sums = _mm512_dpbusd_epi32(
        low_sums, _mm512_permutexvar_epi8(left, _mm512_loadu_si512(nibbles)), ones);
    high_sums = _mm512_dpbusd_epi32(
        high_sums, _mm512_permutexvar_epi8(right, _mm512_loadu_si512(nibbles + 64)), ones);
  }
  return _mm512_add_epi32(low_sums, high_sums);
}

template <int Bits>
std::int64_t scan_bits(const ScanTask& task) {
  // Past the end of what the hardware fetches ahead by itself: it stops at each page.
  constexpr std::int64_t kAhead = 4096 / 4;
  const __m512i threshold = _mm512_set1_epi32(task.threshold);
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const std::int64_t block_words = task.words * kBlockRows;
  std::int64_t kept = 0;
  for (std::int64_t block = task.block_begin; block < task.block_end; ++block) {
    const std::uint64_t live = task.live[block / 4] >> (block % 4 * 16) & 0xFFFF;
    if (live == 0) continue;
    const std::uint32_t* codes = task.blocks + block * block_words;
    for (std::int64_t line = 0; line < task.words; ++line) {
      _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead + line * 16), _MM_HINT_T0);
    }
    const __m512i scores = Bits == 1 ? bit_block_scores(codes, task.words, task.nibbles)
                                     : block_scores<Bits>(codes, task.words, task.weights);
    const __mmask16 keep =
        _mm512_mask_cmpge_epi32_mask(static_cast<__mmask16>(live), scores, threshold);
    // Written without asking whether anything is kept: a branch here is missed half the time.
    _mm512_storeu_si512(task.scores + kept, _mm512_maskz_compress_epi32(keep, scores));
    const __m512i first = _mm512_set1_epi32(
        static_cast<int>(task.first_position + static_cast<std::uint32_t>(block * kBlockRows)));
    _mm512_storeu_si512(task.positions + kept,
                        _mm512_maskz_compress_epi32(keep, _mm512_add_epi32(first, lanes)));
    kept += __builtin_popcount(keep);
  }
  return kept;
}

std::int64_t scan(const ScanTask& task) {
  return with_bits(task.bits, [&](auto bits) { return scan_bits<bits.kBits>(task); });
}

template <int Bits>
void score_rows_bits(const RowsTask& task) {
  constexpr int kPlanes = 8 / Bits;
  score_each_row(
      task, [&](const std::uint32_t* codes) __attribute__((always_inline)) {
        const std::int8_t* weights = task.row_weights;
        __m512i sums[kPlanes];
        for (int plane = 0; plane < kPlanes; ++plane) sums[plane] = _mm512_setzero_si512();
        for (std::int64_t word = 0; word < task.words; word += 16, weights += kPlanes * 64) {
          const std::int64_t left = task.words - word;
          const __mmask16 there = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
          const __m512i packed = _mm512_maskz_loadu_epi32(there, codes + word);
          for (int plane = 0; plane < kPlanes; ++plane) {
            const __m512i part =
                Bits == 8 ? packed : _mm512_and_si512(packed, plane_mask<Bits>(plane));
            sums[plane] =
                _mm512_dpbusd_epi32(sums[plane], part, _mm512_loadu_si512(weights + plane * 64));
          }
        }
        return _mm512_reduce_add_epi32(combine<Bits>(sums));
      });
}

void score_rows(const RowsTask& task) {
  with_bits(task.bits, [&](auto bits) { score_rows_bits<bits.kBits>(task); });
}

std::int64_t count_at_least(const std::int32_t* scores, std::int64_t count,
                            std::int32_t threshold) {
  const __m512i least = _mm512_set1_epi32(threshold);
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; i += 16) {
    const std::int64_t left = count - i;
    const __mmask16 there = static_cast<__mmask16>(left >= 16 ? 0xFFFF : (1 << left) - 1);
    const __m512i values = _mm512_maskz_loadu_epi32(there, scores + i);
    found += __builtin_popcount(_mm512_mask_cmpge_epi32_mask(there, values, least));
  }
  return found;
}

constexpr ScanKernels kAvx512{"avx512", scan, score_rows, count_at_least, nullptr};

}  // namespace

const ScanKernels* avx512_scan_kernels() { return &kAvx512; }

}  // namespace nestor::index

#else

namespace nestor::index {
const ScanKernels* avx512_scan_kernels() { return nullptr; }
}  // namespace nestor::index

#endif
