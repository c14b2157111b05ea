// The element-wise kernels of the tiled backends, written once over `L`, sixteen floats at a time.
// Every instruction set brings its own L (backend_lanes_*.h) with the same sixteen-lane meaning, so
// that the same text gives the same bits on all of them: no operation here may be reordered, fused
// or approximated by one of them alone. Files that include this are compiled with
// -ffp-contract=off.
//
// L is a type of an unnamed namespace: every instance has internal linkage, and code made for one
// instruction set never reaches a program's common functions.
//
// Rows are (rows, width) floats, width a multiple of kLanes.
#pragma once

#include <cstdint>

#include "embed/backend_lanes_attention.h"
#include "embed/backend_lanes_rows.h"
#include "embed/tiled_backend.h"

namespace nestor::embed::lanes {

// Four bytes, or two bf16, of an input.
[[maybe_unused]] static inline std::int32_t word_of(const std::uint8_t* bytes) {
  std::int32_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}

[[maybe_unused]] static inline float widen_bf16(std::uint16_t value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}

template <typename L>
void norm_sum(std::int64_t rows, std::int64_t width, std::int64_t begin, std::int64_t end,
              const float* x, const float* scale, float epsilon, float* sum) {
  for (std::int64_t row = 0; row < rows; ++row, x += width) {
    const auto factor = L::splat(inverse_length<L>(x, width, epsilon));
    for (std::int64_t i = begin; i < end; i += kLanes) {
      const auto normed = L::mul(L::load(x + i), factor);
      L::store(sum + i, L::fma(normed, L::load(scale + i), L::load(sum + i)));
    }
  }
}

template <typename L>
void transform(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end,
               const float* x, const float* weight, float* y) {
  constexpr std::int64_t kVectors = 8;  // independent sums
  std::int64_t at = begin;
  for (; at + kVectors * kLanes <= end; at += kVectors * kLanes) {
    typename L::F sums[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) sums[j] = L::splat(0);
    for (std::int64_t i = 0; i < in; ++i) {
      const auto value = L::splat(x[i]);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) {
        sums[j] = L::fma(value, L::load(weight + i * out + at + j * kLanes), sums[j]);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) L::store(y + at + j * kLanes, sums[j]);
  }
  for (; at < end; at += kLanes) {
    auto sum = L::splat(0);
    for (std::int64_t i = 0; i < in; ++i) {
      sum = L::fma(L::splat(x[i]), L::load(weight + i * out + at), sum);
    }
    L::store(y + at, sum);
  }
}

// What stands behind a product: finish.rows(sums, first, count, panel) makes the results of rows
// [first, first + count) in one panel of their sums, (count * kRowsEach, 32) int32 or float.
//
// Int8: sums of column c of row r become (sum * column scale) * row scale + column bias.
template <typename L, Precision P, bool Gelu, bool Fine>
struct Finish {
  static constexpr std::int64_t kRowsEach = Fine ? 2 : 1;  // of sums for one of the result
  static constexpr HalfOrder kOrder = Gelu ? HalfOrder::kPlain : HalfOrder::kPairs;
  const LinearTask& t;

  // 16 sums of a row; of a fine pair the second one's lie 32 behind.
  static typename L::F whole_sums(const std::int32_t* sums) {
    if constexpr (!Fine) return L::from_int32(sums);
    return L::fma(L::from_int32(sums + kPanelColumns), L::splat(1.0F / kFineSteps),
                  L::from_int32(sums));
  }
  static void store(std::uint16_t* to, typename L::F left, typename L::F right) {
    if constexpr (Gelu) {
      L::to_bf16(to, L::mul(gelu_tanh<L>(left), right));
    } else {
      L::to_bf16_both(to, left, right);
    }
  }

  void rows(const void* sums, std::int64_t first, std::int64_t count, std::int64_t panel) const {
    std::uint16_t* to = t.result.data + panel * t.result.strip + half_offset(kOrder, first);
    if constexpr (P == Precision::kInt8) {
      const auto* from = static_cast<const std::int32_t*>(sums);
      // Loaded here and not row by row: a store might change them, for all the compiler knows.
      const std::int64_t column = panel * kPanelColumns;
      const auto left_scale = L::load(t.b.scales + column);
      const auto right_scale = L::load(t.b.scales + column + kLanes);
      const auto left_bias = L::load(t.b.biases + column);
      const auto right_bias = L::load(t.b.biases + column + kLanes);
      for (std::int64_t r = first; r < first + count; ++r, from += kRowsEach * kPanelColumns) {
        const auto factor = L::splat(t.a.scales[r]);
        const auto left = L::mul(whole_sums(from), left_scale);
        const auto right = L::mul(whole_sums(from + kLanes), right_scale);
        store(to, L::fma(left, factor, left_bias), L::fma(right, factor, right_bias));
        to += strip_columns(kOrder);
      }
    } else {
      const auto* from = static_cast<const float*>(sums);
      for (std::int64_t r = first; r < first + count; ++r, from += kPanelColumns) {
        store(to, L::load(from), L::load(from + kLanes));
        to += strip_columns(kOrder);
      }
    }
  }
};

// What stands behind the weighted values.
template <typename L>
struct FinishValues {
  static constexpr std::int64_t kRowsEach = 1;
  const ValuesTask& t;

  void rows(const void* sums, std::int64_t first, std::int64_t count, std::int64_t panel) const {
    const auto* from = static_cast<const float*>(sums);
    std::uint16_t* result = t.result.data + panel * t.result.strip;
    for (std::int64_t r = first; r < first + count; ++r, from += kPanelColumns) {
      const auto factor = L::splat(t.factors[r]);
      L::to_bf16_both(result + t.places[r], L::mul(L::load(from), factor),
                      L::mul(L::load(from + kLanes), factor));
    }
  }
};

// Scores go where they belong as they are.
template <typename L>
struct FinishScores {
  static constexpr std::int64_t kRowsEach = 1;
  const ScoresTask& t;

  void rows(const void* sums, std::int64_t first, std::int64_t count, std::int64_t panel) const {
    const auto* from = static_cast<const float*>(sums);
    for (std::int64_t r = first; r < first + count; ++r, from += kPanelColumns) {
      float* to = t.result + (r / kRowBlock * t.product.panel_count + panel) * kBlockValues +
                  r % kRowBlock * kPanelColumns;
      L::store(to, L::load(from));
      L::store(to + kLanes, L::load(from + kLanes));
    }
  }
};

// The products of one instruction set.
struct Products {
  void (*linear)(const LinearTask&);
  void (*linear_gelu)(const LinearTask&);
  void (*scores)(const ScoresTask&);
  void (*weighted_values)(const ValuesTask&);
};

// The table around them: all else is the same source.
template <typename L, Precision P>
constexpr TiledBackend table_of(const char* name, const Products& products) {
  return {.name = name,
          .precision = P,
          .input_bias = L::kByteBias,
          .linear = products.linear,
          .linear_gelu = products.linear_gelu,
          .scores = products.scores,
          .weighted_values = products.weighted_values,
          .norm = norm<L, P>,
          .make_input = make_input<L, P>,
          .make_heads = make_heads<L>,
          .softmax = softmax<L>,
          .norm_sum = norm_sum<L>,
          .transform = transform<L>};
}

}  // namespace nestor::embed::lanes
