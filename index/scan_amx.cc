// The scan of many questions for processors with AMX (Sapphire Rapids and later): 64 rows at a
// time, their codes spread out to a byte each once for all questions, 16 questions x 16 rows x 64
// components a product of tiles. The rest of the table is that of AVX-512.
//
// The codes of four neighbours of 16 rows come out of a word of a block with one shift and one
// mask; just so lies a row of the right-hand tile. Sums of 64 rows become one mask of 64 bits, so
// that what is kept is written without a branch, 16 at a time.
#include "index/scan_kernels.h"

#if defined(__x86_64__) && defined(__AMX_INT8__) && defined(__AVX512VBMI2__) && \
    defined(__AVX512VNNI__)

#include <immintrin.h>

#include "core/amx_tiles.h"
#include "index/scan_walk.h"

namespace nestor::index {
namespace {

constexpr std::int64_t kTileRows = 64;
constexpr std::int64_t kTileBlocks = kTileRows / kBlockRows;
constexpr std::int64_t kTileBytes = 1024;

// Tiles 0 to 3: sums, 4 and 5: questions, 6 and 7: codes. Fewer than 16 questions take fewer rows
// and less time.
struct TilesInUse : AmxTiles {
  explicit TilesInUse(std::int64_t question_count)
      : AmxTiles([question_count](int tile) {
          return tile < 6 && question_count < kQuestionTile ? question_count : kQuestionTile;
        }) {}
};

// The codes of a block, a byte each: (components / 4, 16 rows, 4).
template <int Bits>
inline void spread_block(const std::uint32_t* codes, std::int64_t words, std::uint8_t* bytes) {
  // Past the end of what the hardware fetches ahead by itself: it stops at each page.
  constexpr std::int64_t kAhead = 4096 / 4;
  const __m512i mask = _mm512_set1_epi8(static_cast<char>((1 << Bits) - 1));
  for (std::int64_t word = 0; word < words; ++word, codes += kBlockRows) {
    _mm_prefetch(reinterpret_cast<const char*>(codes + kAhead), _MM_HINT_T0);
    const __m512i packed = _mm512_loadu_si512(codes);
    for (int plane = 0; plane < 8 / Bits; ++plane, bytes += 64) {
      const __m512i part =
          Bits == 8 ? packed : _mm512_and_si512(_mm512_srli_epi32(packed, plane * Bits), mask);
      _mm512_store_si512(bytes, part);
    }
  }
}

// Those of 64 rows that are live and reach the threshold.
inline void keep_rows(const std::int32_t* sums, std::uint64_t live, std::uint32_t position,
                      KeptRows& kept) {
  const __m512i threshold = _mm512_set1_epi32(kept.threshold);
  __m512i scores[kTileBlocks];
  std::uint64_t keep = 0;
  for (int block = 0; block < kTileBlocks; ++block) {
    scores[block] = _mm512_load_si512(sums + block * kBlockRows);
    keep |= std::uint64_t{_cvtmask16_u32(_mm512_cmpge_epi32_mask(scores[block], threshold))}
            << (16 * block);
  }
  keep &= live;
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const int count = __builtin_popcountll(keep);
  if (count > kBlockRows) [[unlikely]] {
    for (int block = 0; block < kTileBlocks; ++block) {
      const auto mask = static_cast<__mmask16>(keep >> (16 * block));
      const __m512i first = _mm512_set1_epi32(static_cast<int>(position) + 16 * block);
      _mm512_storeu_si512(kept.scores + kept.kept,
                          _mm512_maskz_compress_epi32(mask, scores[block]));
      _mm512_storeu_si512(kept.positions + kept.kept,
                          _mm512_maskz_compress_epi32(mask, _mm512_add_epi32(first, lanes)));
      kept.kept += __builtin_popcount(mask);
    }
    return;
  }
  const __m512i bytes = _mm512_set_epi8(
      63, 62, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41,
      40, 39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18,
      17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i rows = _mm512_cvtepu8_epi32(
      _mm512_castsi512_si128(_mm512_maskz_compress_epi8(_cvtu64_mask64(keep), bytes)));
  const __m512i front = _mm512_permutex2var_epi32(scores[0], rows, scores[1]);
  const __m512i back = _mm512_permutex2var_epi32(scores[2], rows, scores[3]);
  const __mmask16 behind = _mm512_test_epi32_mask(rows, _mm512_set1_epi32(32));
  _mm512_storeu_si512(kept.scores + kept.kept, _mm512_mask_mov_epi32(front, behind, back));
  _mm512_storeu_si512(kept.positions + kept.kept,
                      _mm512_add_epi32(rows, _mm512_set1_epi32(static_cast<int>(position))));
  kept.kept += count;
}

// Sums of 32 questions (16 where there is no second tile of them) with two blocks.
template <bool Both>
inline void multiply(const std::int8_t* weights, std::int64_t stride, const std::uint8_t* bytes,
                     std::int32_t* sums) {
  const std::int64_t block_bytes = stride * kBlockRows;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (Both) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t at = 0; at < stride; at += 64) {
    _tile_loadd(4, weights + at, stride);
    _tile_loadd(6, bytes + at * kBlockRows, 64);
    _tile_dpbsud(0, 4, 6);
    _tile_loadd(7, bytes + block_bytes + at * kBlockRows, 64);
    _tile_dpbsud(1, 4, 7);
    if constexpr (Both) {
      _tile_loadd(5, weights + kQuestionTile * stride + at, stride);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    }
  }
  constexpr std::int64_t kSumsStride = kTileRows * 4;
  _tile_stored(0, sums, kSumsStride);
  _tile_stored(1, sums + kBlockRows, kSumsStride);
  if constexpr (Both) {
    std::int32_t* const lower = sums + kQuestionTile * kTileRows;
    _tile_stored(2, lower, kSumsStride);
    _tile_stored(3, lower + kBlockRows, kSumsStride);
  }
}

// Bits of the blocks [begin, end) of the 64 rows that begin with block `first`.
inline std::uint64_t rows_between(std::int64_t first, std::int64_t begin, std::int64_t end) {
  std::uint64_t rows = ~std::uint64_t{0};
  if (begin > first) rows <<= (begin - first) * kBlockRows;
  if (end < first + kTileBlocks) rows &= ~std::uint64_t{0} >> ((first + kTileBlocks - end) * 16);
  return rows;
}

template <int Bits>
void scan_many_bits(const ScanManyTask& task) {
  const std::int64_t stride = many_weights_stride(task.words, task.bits);
  const std::int64_t block_bytes = stride * kBlockRows;
  alignas(64) std::int32_t sums[kMostQuestions * kTileRows];
  const TilesInUse tiles(task.question_count);
  for (std::int64_t first = task.block_begin / kTileBlocks * kTileBlocks; first < task.block_end;
       first += kTileBlocks) {
    const std::int64_t begin = first > task.block_begin ? first : task.block_begin;
    const std::int64_t end =
        first + kTileBlocks < task.block_end ? first + kTileBlocks : task.block_end;
    const std::uint64_t live = task.live[first / kTileBlocks] & rows_between(first, begin, end);
    if (live == 0) continue;
    for (std::int64_t pair = first; pair < first + kTileBlocks; pair += 2) {
      for (std::int64_t block = pair > begin ? pair : begin; block < pair + 2 && block < end;
           ++block) {
        spread_block<Bits>(task.blocks + block * task.words * kBlockRows, task.words,
                           task.scratch + (block - pair) * block_bytes);
      }
      // GCC's tile loads do not tell the compiler that they read memory.
      asm volatile("" ::: "memory");
      std::int32_t* const pair_sums = sums + (pair - first) * kBlockRows;
      if (task.question_count > kQuestionTile) {
        multiply<true>(task.weights, stride, task.scratch, pair_sums);
      } else {
        multiply<false>(task.weights, stride, task.scratch, pair_sums);
      }
    }
    const std::uint32_t position =
        task.first_position + static_cast<std::uint32_t>(first * kBlockRows);
    for (std::int64_t i = 0; i < task.question_count; ++i) {
      keep_rows(sums + i * kTileRows, live, position, task.kept[i]);
    }
  }
}

void scan_many(const ScanManyTask& task) {
  with_bits(task.bits, [&](auto bits) { scan_many_bits<bits.kBits>(task); });
}

}  // namespace

const ScanKernels* amx_scan_kernels() {
  if (avx512_scan_kernels() == nullptr) return nullptr;
  static const ScanKernels kAmx{"amx", avx512_scan_kernels()->scan,
                                avx512_scan_kernels()->score_rows,
                                avx512_scan_kernels()->count_at_least, scan_many};
  return &kAmx;
}

}  // namespace nestor::index

#else

namespace nestor::index {
const ScanKernels* amx_scan_kernels() { return nullptr; }
}  // namespace nestor::index

#endif
