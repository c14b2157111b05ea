// The products of the AVX2 tables. Int8 with AVX-VNNI (Alder Lake and later, Zen 5) or without;
// bf16 by widening to f32, which is also attention for both precisions. Only for files compiled for
// AVX2 and FMA, and for AVX-VNNI where Vnni is true.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "embed/backend_lanes_avx2.h"
#include "embed/backend_lanes_kernels.h"

namespace nestor::embed {
namespace {

inline __m256i load_bytes(const std::uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
}

// With VNNI inputs carry 128 more than they mean and the sums start 128 times the column's weights
// lower. Without it the sign of the input goes to the weight: |a| * (w with a's sign), whose pairs
// fit into 16 bits, for neither ever is -128.
template <bool Vnni>
using Int8Lanes = Avx2Lanes<Vnni ? 0x80 : 0>;

template <bool Vnni>
inline __m256i multiply_add(__m256i sum, __m256i input, __m256i magnitude, __m256i weights) {
#ifdef __AVXVNNI__
  if constexpr (Vnni) return _mm256_dpbusd_avx_epi32(sum, input, weights);
#endif
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(weights, input));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Rows x 32 columns, 8 columns at a time.
template <bool Vnni, int Rows>
inline void sum_int8(const LinearTask& t, std::int64_t row, std::int64_t panel,
                     std::int32_t (*sums)[kPanelColumns]) {
  for (int part = 0; part < 4; ++part) {
    const std::uint8_t* b =
        t.b.panels + panel * t.b.steps * kPanelStepBytes + part / 2 * 1024 + part % 2 * 32;
    const std::uint8_t* a = t.a.data + input_offset(row, 0, t.b.steps);
    __m256i start = _mm256_setzero_si256();
    if constexpr (Vnni) {
      const auto* column = t.b.sums + panel * kPanelColumns + part * 8;
      start = _mm256_sub_epi32(
          start, _mm256_slli_epi32(load_bytes(reinterpret_cast<const std::uint8_t*>(column)), 7));
    }
    __m256i sum[Rows];
    for (int r = 0; r < Rows; ++r) sum[r] = start;
    for (std::int64_t step = 0; step < t.b.steps; ++step, b += kPanelStepBytes, a += kTileBytes) {
      for (int word = 0; word < 16; ++word) {
        const __m256i weights = load_bytes(b + word * 64);
        for (int r = 0; r < Rows; ++r) {
          const __m256i input = _mm256_set1_epi32(lanes::word_of(a + r * kStepBytes + word * 4));
          const __m256i magnitude = Vnni ? input : _mm256_abs_epi8(input);
          sum[r] = multiply_add<Vnni>(sum[r], input, magnitude, weights);
        }
      }
    }
    for (int r = 0; r < Rows; ++r) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums[r] + part * 8), sum[r]);
    }
  }
}

template <bool Vnni, int Rows, bool Gelu, bool Fine>
inline void multiply_int8(const LinearTask& t, std::int64_t row, std::int64_t panel) {
  alignas(32) std::int32_t sums[Rows][kPanelColumns];
  sum_int8<Vnni, Rows>(t, row, panel, sums);
  const lanes::Finish<Int8Lanes<Vnni>, Precision::kInt8, Gelu, Fine> finish{t};
  constexpr int kEach = finish.kRowsEach;
  finish.rows(sums, row / kEach, Rows / kEach, panel);
}

template <bool Vnni, bool Gelu, bool Fine>
inline void multiply_all_int8(const LinearTask& t) {
  constexpr int kRows = 8;
  const std::int64_t rows = Fine ? 2 * t.rows : t.rows;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    std::int64_t row = 0;
    for (; row + kRows <= rows; row += kRows) multiply_int8<Vnni, kRows, Gelu, Fine>(t, row, panel);
    for (; row + 2 <= rows; row += 2) multiply_int8<Vnni, 2, Gelu, Fine>(t, row, panel);
    if constexpr (!Fine) {
      if (row < rows) multiply_int8<Vnni, 1, Gelu, Fine>(t, row, panel);
    }
  }
}

template <bool Vnni, bool Gelu>
void linear_int8(const LinearTask& t) {
  t.a.fine ? multiply_all_int8<Vnni, Gelu, true>(t) : multiply_all_int8<Vnni, Gelu, false>(t);
}

// As TDPBF16PS sums: over the pairs of a step the even and the odd halves apart, then their sum
// onto the total. Source: Intel's instruction reference, TDPBF16PS. Rows x 32 columns, 8 columns at
// a time; a is tiles.
template <int Rows>
inline void sum_bf16(const std::uint8_t* a, std::int64_t row, const std::uint8_t* panel,
                     std::int64_t steps, float (*sums)[kPanelColumns]) {
  const __m256i high_mask = _mm256_set1_epi32(static_cast<int>(0xFFFF0000));
  const std::uint8_t* rows[Rows];
  for (int r = 0; r < Rows; ++r) rows[r] = a + input_offset(row + r, 0, steps);
  for (int part = 0; part < 4; ++part) {
    const std::uint8_t* b = panel + part / 2 * kTileBytes + part % 2 * 32;
    __m256 total[Rows];
    for (int r = 0; r < Rows; ++r) total[r] = _mm256_setzero_ps();
    for (std::int64_t step = 0; step < steps; ++step, b += kPanelStepBytes) {
      __m256 even[Rows];
      __m256 odd[Rows];
      for (int r = 0; r < Rows; ++r) even[r] = odd[r] = _mm256_setzero_ps();
      for (int word = 0; word < 16; ++word) {
        const __m256i pairs = load_bytes(b + word * 64);
        const __m256 low = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
        const __m256 high = _mm256_castsi256_ps(_mm256_and_si256(pairs, high_mask));
        for (int r = 0; r < Rows; ++r) {
          const __m256i input =
              _mm256_set1_epi32(lanes::word_of(rows[r] + step * kTileBytes + word * 4));
          even[r] =
              _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(input, 16)), low, even[r]);
          odd[r] = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(input, high_mask)), high,
                                   odd[r]);
        }
      }
      for (int r = 0; r < Rows; ++r) {
        total[r] = _mm256_add_ps(total[r], _mm256_add_ps(even[r], odd[r]));
      }
    }
    for (int r = 0; r < Rows; ++r) _mm256_storeu_ps(sums[r] + part * 8, total[r]);
  }
}

constexpr int kBf16Rows = 3;

template <int Rows, typename Finish>
inline void multiply_bf16(const std::uint8_t* a, std::int64_t row, const std::uint8_t* panels,
                          std::int64_t steps, std::int64_t panel, const Finish& finish) {
  alignas(32) float sums[Rows][kPanelColumns];
  sum_bf16<Rows>(a, row, panels, steps, sums);
  finish.rows(sums, row, Rows, panel);
}

template <typename Finish>
inline void multiply_panel_bf16(const std::uint8_t* a, std::int64_t rows,
                                const std::uint8_t* panels, std::int64_t steps, std::int64_t panel,
                                const Finish& finish) {
  std::int64_t row = 0;
  for (; row + kBf16Rows <= rows; row += kBf16Rows) {
    multiply_bf16<kBf16Rows>(a, row, panels, steps, panel, finish);
  }
  for (; row < rows; ++row) multiply_bf16<1>(a, row, panels, steps, panel, finish);
}

template <typename Finish>
inline void multiply_attention(const Bf16Task& t, const Finish& finish) {
  for (std::int64_t panel = 0; panel < t.panel_count; ++panel) {
    multiply_panel_bf16(t.a, t.rows, t.panels + panel * t.panel_stride, t.steps, panel, finish);
  }
}

void scores(const ScoresTask& t) {
  multiply_attention(t.product, lanes::FinishScores<Avx2Lanes<0>>{t});
}

void weighted_values(const ValuesTask& t) {
  multiply_attention(t.product, lanes::FinishValues<Avx2Lanes<0>>{t});
}

template <bool Gelu>
void linear_bf16(const LinearTask& t) {
  const lanes::Finish<Avx2Lanes<0>, Precision::kBf16, Gelu, false> finish{t};
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    multiply_panel_bf16(t.a.data, t.rows, t.b.panels + panel * t.b.steps * kPanelStepBytes,
                        t.b.steps, panel, finish);
  }
}

template <Precision P, bool Vnni, typename L>
constexpr TiledBackend kTable = lanes::table_of<L, P>(
    Vnni ? "avx2-vnni" : "avx2",
    {P == Precision::kInt8 ? linear_int8<Vnni, false> : linear_bf16<false>,
     P == Precision::kInt8 ? linear_int8<Vnni, true> : linear_bf16<true>, scores, weighted_values});

}  // namespace
}  // namespace nestor::embed
