// Tables for AVX-512 without tiles: int8 with VNNI (Cascade Lake, Ice Lake, Zen 4), bf16 with
// AVX512_BF16 (Cooper Lake, Zen 4).
#include "embed/tiled_backend.h"

#if defined(__x86_64__) && defined(__AVX512VNNI__) && defined(__AVX512BF16__)

#include <immintrin.h>

#include "embed/backend_lanes_avx512.h"
#include "embed/backend_lanes_kernels.h"

namespace nestor::embed {
namespace {

// vpdpbusd multiplies unsigned by signed bytes: inputs carry 128 more than they mean, and the sums
// start 128 times the column's weights lower.
using Int8Lanes = Avx512Lanes<false, 0x80>;
using Bf16Lanes = Avx512Lanes<true, 0>;

// Worked on at once: 16 registers of sums. Loops over them and over the words of a step are
// unrolled by force; else g++ 12 moves the sums through memory (.42 instead of .56 TOPS).
constexpr int kRows = 8;

template <int Rows, bool Gelu, bool Fine>
inline void multiply_int8(const LinearTask& t, std::int64_t row, std::int64_t panel) {
  const std::uint8_t* b = t.b.panels + panel * t.b.steps * kPanelStepBytes;
  const std::uint8_t* a = t.a.data + input_offset(row, 0, t.b.steps);
  const auto offset = [&](std::int64_t half) {
    const __m512i sums = _mm512_loadu_si512(t.b.sums + panel * kPanelColumns + half * 16);
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sums, 7));
  };
  __m512i left[Rows];
  __m512i right[Rows];
  for (int r = 0; r < Rows; ++r) {
    left[r] = offset(0);
    right[r] = offset(1);
  }
  for (std::int64_t step = 0; step < t.b.steps; ++step, b += kPanelStepBytes, a += kTileBytes) {
#pragma GCC unroll 16
    for (int word = 0; word < 16; ++word) {
      const __m512i left_weights = _mm512_loadu_si512(b + word * 64);
      const __m512i right_weights = _mm512_loadu_si512(b + 1024 + word * 64);
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const __m512i input = _mm512_set1_epi32(lanes::word_of(a + r * kStepBytes + word * 4));
        left[r] = _mm512_dpbusd_epi32(left[r], input, left_weights);
        right[r] = _mm512_dpbusd_epi32(right[r], input, right_weights);
      }
    }
  }
  alignas(64) std::int32_t sums[Rows][kPanelColumns];
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_si512(sums[r], left[r]);
    _mm512_store_si512(sums[r] + 16, right[r]);
  }
  const lanes::Finish<Int8Lanes, Precision::kInt8, Gelu, Fine> finish{t};
  constexpr int kEach = finish.kRowsEach;
  finish.rows(sums, row / kEach, Rows / kEach, panel);
}

template <bool Gelu, bool Fine>
inline void multiply_all_int8(const LinearTask& t) {
  const std::int64_t rows = Fine ? 2 * t.rows : t.rows;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    std::int64_t row = 0;
    for (; row + kRows <= rows; row += kRows) multiply_int8<kRows, Gelu, Fine>(t, row, panel);
    for (; row + 2 <= rows; row += 2) multiply_int8<2, Gelu, Fine>(t, row, panel);
    if constexpr (!Fine) {
      if (row < rows) multiply_int8<1, Gelu, Fine>(t, row, panel);
    }
  }
}

template <bool Gelu>
void linear_int8(const LinearTask& t) {
  t.a.fine ? multiply_all_int8<Gelu, true>(t) : multiply_all_int8<Gelu, false>(t);
}

template <int Rows, bool Gelu>
inline void multiply_bf16(const LinearTask& t, std::int64_t row, std::int64_t panel) {
  const std::uint8_t* b = t.b.panels + panel * t.b.steps * kPanelStepBytes;
  const std::uint8_t* a = t.a.data + input_offset(row, 0, t.b.steps);
  __m512 left[Rows];
  __m512 right[Rows];
  for (int r = 0; r < Rows; ++r) left[r] = right[r] = _mm512_setzero_ps();
  for (std::int64_t step = 0; step < t.b.steps; ++step, b += kPanelStepBytes, a += kTileBytes) {
#pragma GCC unroll 16
    for (int word = 0; word < 16; ++word) {
      const auto left_weights = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + word * 64));
      const auto right_weights =
          reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + 1024 + word * 64));
#pragma GCC unroll 16
      for (int r = 0; r < Rows; ++r) {
        const auto input = reinterpret_cast<__m512bh>(
            _mm512_set1_epi32(lanes::word_of(a + r * kStepBytes + word * 4)));
        left[r] = _mm512_dpbf16_ps(left[r], input, left_weights);
        right[r] = _mm512_dpbf16_ps(right[r], input, right_weights);
      }
    }
  }
  const lanes::Finish<Bf16Lanes, Precision::kBf16, Gelu, false> finish{t};
  alignas(64) float sums[Rows][kPanelColumns];
  for (int r = 0; r < Rows; ++r) {
    _mm512_store_ps(sums[r], left[r]);
    _mm512_store_ps(sums[r] + 16, right[r]);
  }
  finish.rows(sums, row, Rows, panel);
}

template <bool Gelu>
void linear_bf16(const LinearTask& t) {
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    std::int64_t row = 0;
    for (; row + kRows <= t.rows; row += kRows) multiply_bf16<kRows, Gelu>(t, row, panel);
    for (; row < t.rows; ++row) multiply_bf16<1, Gelu>(t, row, panel);
  }
}

// Rows of attention's first operand, the lower and the upper halves of each word apart, as floats.
class WideRows {
 public:
  static constexpr int kRows = 8;
  static constexpr std::int64_t kSteps = 64;

  // Steps [first, first + count) of `rows` rows from `row` on.
  void fill(const Bf16Task& t, std::int64_t row, int rows, std::int64_t first, std::int64_t count) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
    for (int r = 0; r < rows; ++r) {
      const std::uint8_t* from = t.a + input_offset(row + r, first * kStepBytes, t.steps);
      for (std::int64_t step = 0; step < count; ++step) {
        const __m512i words = _mm512_loadu_si512(from + step * kTileBytes);
        _mm512_store_si512(values_[r][step], _mm512_slli_epi32(words, 16));
        _mm512_store_si512(values_[r][step] + 16, _mm512_and_si512(words, upper));
      }
    }
  }
  [[nodiscard]] const float* step(int row, std::int64_t step) const { return values_[row][step]; }

 private:
  alignas(64) float values_[kRows][kSteps][32];
};

// As TDPBF16PS sums: over the pairs of a step the even and the odd halves apart, then their sum
// onto the total. Source: Intel's instruction reference, TDPBF16PS. Adds `steps` steps to the sums
// of 16 columns.
template <int Rows>
inline void sum_attention(const WideRows& a, const std::uint8_t* b, std::int64_t steps,
                          float* sums) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  for (std::int64_t step = 0; step < steps; ++step, b += kPanelStepBytes) {
    const float* rows[Rows];
    __m512 even[Rows];
    __m512 odd[Rows];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      rows[r] = a.step(r, step);
      even[r] = odd[r] = _mm512_setzero_ps();
    }
#pragma GCC unroll 16
    for (int word = 0; word < 16; ++word) {
      const __m512i pairs = _mm512_loadu_si512(b + word * 64);
      const __m512 low = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
      const __m512 high = _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        even[r] = _mm512_fmadd_ps(_mm512_set1_ps(rows[r][word]), low, even[r]);
        odd[r] = _mm512_fmadd_ps(_mm512_set1_ps(rows[r][16 + word]), high, odd[r]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      float* sum = sums + r * kPanelColumns;
      _mm512_storeu_ps(sum, _mm512_add_ps(_mm512_loadu_ps(sum), _mm512_add_ps(even[r], odd[r])));
    }
  }
}

template <int Rows, typename Finish>
inline void multiply_attention(const Bf16Task& t, std::int64_t row, WideRows& a,
                               const Finish& finish) {
  const bool at_once = t.steps <= WideRows::kSteps;
  if (at_once) a.fill(t, row, Rows, 0, t.steps);
  for (std::int64_t panel = 0; panel < t.panel_count; ++panel) {
    alignas(64) float sums[Rows][kPanelColumns] = {};
    const std::uint8_t* b = t.panels + panel * t.panel_stride;
    for (std::int64_t first = 0; first < t.steps; first += WideRows::kSteps) {
      const std::int64_t left = t.steps - first;
      const std::int64_t count = left < WideRows::kSteps ? left : WideRows::kSteps;
      if (!at_once) a.fill(t, row, Rows, first, count);
      sum_attention<Rows>(a, b + first * kPanelStepBytes, count, sums[0]);
      sum_attention<Rows>(a, b + first * kPanelStepBytes + kTileBytes, count, sums[0] + 16);
    }
    finish.rows(sums, row, Rows, panel);
  }
}

template <typename Finish>
inline void multiply_all_attention(const Bf16Task& t, const Finish& finish) {
  WideRows a;
  std::int64_t row = 0;
  for (; row + WideRows::kRows <= t.rows; row += WideRows::kRows) {
    multiply_attention<WideRows::kRows>(t, row, a, finish);
  }
  for (; row < t.rows; ++row) multiply_attention<1>(t, row, a, finish);
}

void scores(const ScoresTask& t) {
  multiply_all_attention(t.product, lanes::FinishScores<Bf16Lanes>{t});
}

template <typename L>
void weighted_values(const ValuesTask& t) {
  multiply_all_attention(t.product, lanes::FinishValues<L>{t});
}

template <Precision P, typename L>
constexpr TiledBackend kTable = lanes::table_of<L, P>(
    P == Precision::kInt8 ? "avx512-vnni" : "avx512-bf16",
    {P == Precision::kInt8 ? linear_int8<false> : linear_bf16<false>,
     P == Precision::kInt8 ? linear_int8<true> : linear_bf16<true>, scores, weighted_values<L>});

}  // namespace

const TiledBackend* avx512_tables(Precision precision) {
  return precision == Precision::kInt8   ? &kTable<Precision::kInt8, Int8Lanes>
         : precision == Precision::kBf16 ? &kTable<Precision::kBf16, Bf16Lanes>
                                         : nullptr;
}

}  // namespace nestor::embed

#else

namespace nestor::embed {
const TiledBackend* avx512_tables(Precision) { return nullptr; }
}  // namespace nestor::embed

#endif
