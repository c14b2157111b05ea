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

// A sum that stays where it is: left to itself g++ 12 multiplies far ahead and moves the sums
// through memory, at two thirds of the speed.
template <typename V>
inline void stay_in_register(V& v) {
  asm("" : "+x"(v));
}

template <bool Vnni>
inline __m256i multiply_add(__m256i sum, __m256i input, __m256i magnitude, __m256i weights) {
#ifdef __AVXVNNI__
  if constexpr (Vnni) return _mm256_dpbusd_avx_epi32(sum, input, weights);
#endif
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(weights, input));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Rows of one tile x 32 columns, `Vectors` times 8 columns at a time.
template <bool Vnni, int Rows, int Vectors>
inline void sum_int8(const LinearTask& t, std::int64_t row, std::int64_t panel,
                     std::int32_t (*sums)[kPanelColumns]) {
  for (int part = 0; part < 4; part += Vectors) {
    const std::uint8_t* a = t.a.data + input_offset(row, 0, t.b.steps);
    const auto column_of = [part](int vector) { return (part + vector) * 8; };
    const std::uint8_t* b = t.b.panels + panel * t.b.steps * kPanelStepBytes;
    __m256i sum[Rows][Vectors];
    for (int v = 0; v < Vectors; ++v) {
      __m256i start = _mm256_setzero_si256();
      if constexpr (Vnni) {
        const auto* column = t.b.sums + panel * kPanelColumns + column_of(v);
        start = _mm256_sub_epi32(
            start, _mm256_slli_epi32(load_bytes(reinterpret_cast<const std::uint8_t*>(column)), 7));
      }
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) sum[r][v] = start;
    }
    for (std::int64_t step = 0; step < t.b.steps; ++step, b += kPanelStepBytes, a += kTileBytes) {
#pragma GCC unroll 16
      for (int word = 0; word < 16; ++word) {
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) {
          const __m256i input = _mm256_set1_epi32(lanes::word_of(a + r * kStepBytes + word * 4));
          const __m256i magnitude = Vnni ? input : _mm256_abs_epi8(input);
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v) {
            const __m256i weights =
                load_bytes(b + (part + v) / 2 * kTileBytes + (part + v) % 2 * 32 + word * 64);
            sum[r][v] = multiply_add<Vnni>(sum[r][v], input, magnitude, weights);
            stay_in_register(sum[r][v]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums[r] + column_of(v)), sum[r][v]);
      }
    }
  }
}

template <bool Vnni, int Rows, int Vectors, bool Gelu, bool Fine>
inline void multiply_int8(const LinearTask& t, std::int64_t row, std::int64_t panel) {
  alignas(32) std::int32_t sums[Rows][kPanelColumns];
  sum_int8<Vnni, Rows, Vectors>(t, row, panel, sums);
  const lanes::Finish<Int8Lanes<Vnni>, Precision::kInt8, Gelu, Fine> finish{t};
  constexpr int kEach = finish.kRowsEach;
  finish.rows(sums, row / kEach, Rows / kEach, panel);
}

// As many rows as are left of a tile, at most six; gives how many. With VNNI 12 registers of sums
// for 16 columns at a time, and few loads; without it eight for all 32, so that a magnitude serves
// four times.
template <bool Vnni, bool Gelu, bool Fine>
inline std::int64_t multiply_some_int8(const LinearTask& t, std::int64_t row, std::int64_t rows,
                                       std::int64_t panel) {
  const std::int64_t in_tile = kTileRows - row % kTileRows;
  const std::int64_t left = rows - row < in_tile ? rows - row : in_tile;
  if constexpr (Vnni) {
    if (left >= 6) return multiply_int8<Vnni, 6, 2, Gelu, Fine>(t, row, panel), 6;
    if (left >= 4) return multiply_int8<Vnni, 4, 2, Gelu, Fine>(t, row, panel), 4;
  }
  if (left >= 2) return multiply_int8<Vnni, 2, 4, Gelu, Fine>(t, row, panel), 2;
  if constexpr (!Fine) multiply_int8<Vnni, 1, 4, Gelu, Fine>(t, row, panel);
  return 1;
}

template <bool Vnni, bool Gelu, bool Fine>
inline void multiply_all_int8(const LinearTask& t) {
  const std::int64_t rows = Fine ? 2 * t.rows : t.rows;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    for (std::int64_t row = 0; row < rows;) {
      row += multiply_some_int8<Vnni, Gelu, Fine>(t, row, rows, panel);
    }
  }
}

template <bool Vnni, bool Gelu>
void linear_int8(const LinearTask& t) {
  t.a.fine ? multiply_all_int8<Vnni, Gelu, true>(t) : multiply_all_int8<Vnni, Gelu, false>(t);
}

// Rows of a product's first operand, the lower and the upper halves of each word apart, as floats.
class WideRows {
 public:
  static constexpr int kRows = 4;
  static constexpr std::int64_t kSteps = 64;

  // Steps [first, first + count) of `rows` rows from `row` on; a is tiles of `steps` steps.
  void fill(const std::uint8_t* a, std::int64_t steps, std::int64_t row, int rows,
            std::int64_t first, std::int64_t count) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000));
    for (int r = 0; r < rows; ++r) {
      const std::uint8_t* from = a + input_offset(row + r, first * kStepBytes, steps);
      for (std::int64_t step = 0; step < count; ++step) {
        for (int half = 0; half < 2; ++half) {
          const __m256i words = load_bytes(from + step * kTileBytes + half * 32);
          float* to = values_[r][step] + half * 8;
          _mm256_store_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(words, 16)));
          _mm256_store_ps(to + 16, _mm256_castsi256_ps(_mm256_and_si256(words, upper)));
        }
      }
    }
  }
  [[nodiscard]] const float* step(int row, std::int64_t step) const { return values_[row][step]; }

 private:
  alignas(32) float values_[kRows][kSteps][32];
};

// As TDPBF16PS sums: over the pairs of a step the even and the odd halves apart, then their sum
// onto the total. Source: Intel's instruction reference, TDPBF16PS. Adds `steps` steps to the sums
// of 8 columns.
template <int Rows>
inline void sum_bf16(const WideRows& a, const std::uint8_t* b, std::int64_t steps, float* sums) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000));
  for (std::int64_t step = 0; step < steps; ++step, b += kPanelStepBytes) {
    const float* rows[Rows];
    __m256 even[Rows];
    __m256 odd[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      rows[r] = a.step(r, step);
      even[r] = odd[r] = _mm256_setzero_ps();
    }
#pragma GCC unroll 16
    for (int word = 0; word < 16; ++word) {
      const __m256i pairs = load_bytes(b + word * 64);
      const __m256 low = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
      const __m256 high = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) {
        even[r] = _mm256_fmadd_ps(_mm256_set1_ps(rows[r][word]), low, even[r]);
        odd[r] = _mm256_fmadd_ps(_mm256_set1_ps(rows[r][16 + word]), high, odd[r]);
        stay_in_register(even[r]);
        stay_in_register(odd[r]);
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      float* sum = sums + r * kPanelColumns;
      _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), _mm256_add_ps(even[r], odd[r])));
    }
  }
}

// A product in bf16, a linear layer's or attention's; panels [panel_begin, panel_end).
struct HalfProduct {
  std::int64_t rows;
  const std::uint8_t* a;
  const std::uint8_t* panels;
  std::int64_t panel_stride;  // bytes
  std::int64_t panel_begin;
  std::int64_t panel_end;
  std::int64_t steps;
};

template <int Rows, typename Finish>
inline void multiply_bf16(const HalfProduct& t, std::int64_t row, WideRows& a,
                          const Finish& finish) {
  const bool at_once = t.steps <= WideRows::kSteps;
  if (at_once) a.fill(t.a, t.steps, row, Rows, 0, t.steps);
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    alignas(32) float sums[Rows][kPanelColumns] = {};
    for (std::int64_t first = 0; first < t.steps; first += WideRows::kSteps) {
      const std::int64_t left = t.steps - first;
      const std::int64_t count = left < WideRows::kSteps ? left : WideRows::kSteps;
      if (!at_once) a.fill(t.a, t.steps, row, Rows, first, count);
      const std::uint8_t* b = t.panels + panel * t.panel_stride + first * kPanelStepBytes;
      for (int part = 0; part < 4; ++part) {
        sum_bf16<Rows>(a, b + part / 2 * kTileBytes + part % 2 * 32, count, sums[0] + part * 8);
      }
    }
    finish.rows(sums, row, Rows, panel);
  }
}

template <typename Finish>
inline void multiply_all_bf16(const HalfProduct& t, const Finish& finish) {
  WideRows a;
  std::int64_t row = 0;
  for (; row + WideRows::kRows <= t.rows; row += WideRows::kRows) {
    multiply_bf16<WideRows::kRows>(t, row, a, finish);
  }
  for (; row < t.rows; ++row) multiply_bf16<1>(t, row, a, finish);
}

template <typename Finish>
inline void multiply_attention(const Bf16Task& t, const Finish& finish) {
  multiply_all_bf16({.rows = t.rows,
                     .a = t.a,
                     .panels = t.panels,
                     .panel_stride = t.panel_stride,
                     .panel_begin = 0,
                     .panel_end = t.panel_count,
                     .steps = t.steps},
                    finish);
}

void scores(const ScoresTask& t) {
  multiply_attention(t.product, lanes::FinishScores<Avx2Lanes<0>>{t});
}

void weighted_values(const ValuesTask& t) {
  multiply_attention(t.product, lanes::FinishValues<Avx2Lanes<0>>{t});
}

template <bool Gelu>
void linear_bf16(const LinearTask& t) {
  multiply_all_bf16({.rows = t.rows,
                     .a = t.a.data,
                     .panels = t.b.panels,
                     .panel_stride = t.b.steps * kPanelStepBytes,
                     .panel_begin = t.panel_begin,
                     .panel_end = t.panel_end,
                     .steps = t.b.steps},
                    lanes::Finish<Avx2Lanes<0>, Precision::kBf16, Gelu, false>{t});
}

template <Precision P, bool Vnni, typename L>
constexpr TiledBackend kTable = lanes::table_of<L, P>(
    Vnni ? "avx2-vnni" : "avx2",
    {P == Precision::kInt8 ? linear_int8<Vnni, false> : linear_bf16<false>,
     P == Precision::kInt8 ? linear_int8<Vnni, true> : linear_bf16<true>, scores, weighted_values});

}  // namespace
}  // namespace nestor::embed
