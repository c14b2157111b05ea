// Mathematics of the tiled backends over `L`, sixteen floats at a time (backend_lanes_kernels.h
// says what L is and what may not be done to it): powers, GELU, lengths and the rotation.
#pragma once

#include <cstdint>

#include "embed/tiled_backend.h"

namespace nestor::embed::lanes {

// 2^x for x up to 80; at or under -125: 2^-125, for no result may be denormal. Relative error 3e-6,
// a five-hundredth of what bf16 rounds: the polynomial of degree 4 with the least relative error on
// [-.5, .5] (Lawson's iteration).
template <typename L>
inline typename L::F exp2_of(typename L::F x) {
  const auto clamped = L::max(x, L::splat(-125.0F));
  const auto whole = L::round(clamped);
  const auto r = L::sub(clamped, whole);
  auto p = L::splat(0.009570102207362652F);
  p = L::fma(p, r, L::splat(0.05591786280274391F));
  p = L::fma(p, r, L::splat(0.240247443318367F));
  p = L::fma(p, r, L::splat(0.6931217908859253F));
  p = L::fma(p, r, L::splat(0.9999992847442627F));
  return L::times_power_of_two(p, whole);
}

// 1 / x for 1 <= x < 2^100; relative error 2e-6. From a guess in integers, y (a - b x y) with the a
// and b that leave the least error (1.2e-3), then one of Newton's steps. Division units are slow,
// and the approximate reciprocals of instruction sets differ.
template <typename L>
inline typename L::F reciprocal(typename L::F x) {
  auto y = L::reciprocal_guess(x);
  y = L::mul(y, L::negative_fma(L::splat(1.03F), L::mul(x, y), L::splat(2.031003541312112F)));
  return L::fma(y, L::negative_fma(x, y, L::splat(1.0F)), y);
}

// gelu_tanh(x) = x * sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh form of
// Hendrycks and Gimpel, with 1 + tanh(u) = 2 sigmoid(2 u). The exponent -2 u log2(e) is held under
// 80 so that the power stays finite.
template <typename L>
inline typename L::F gelu_tanh(typename L::F x) {
  const auto square = L::mul(x, x);
  const auto inner = L::fma(square, L::splat(-0.10294323764F), L::splat(-2.3022082F));
  const auto exponent = L::min(L::mul(x, inner), L::splat(80.0F));
  return L::mul(x, reciprocal<L>(L::add(L::splat(1.0F), exp2_of<L>(exponent))));
}

// 1 / sqrt(mean(x^2) + epsilon) from the sums of squares of the vectors 0, 1, 2, 3 modulo 4.
template <typename L>
inline float inverse_length_from(const typename L::F (&sums)[4], std::int64_t width,
                                 float epsilon) {
  const float sum = L::sum(L::add(L::add(sums[0], sums[1]), L::add(sums[2], sums[3])));
  return 1.0F / L::square_root(sum / static_cast<float>(width) + epsilon);
}

// The same of values; load(i) gives values i to i + 15.
template <typename L, typename Load>
inline float inverse_length_of(const Load& load, std::int64_t width, float epsilon) {
  typename L::F sums[4] = {L::splat(0), L::splat(0), L::splat(0), L::splat(0)};
  const std::int64_t vectors = width / kLanes;
  std::int64_t i = 0;
  for (; i + 4 <= vectors; i += 4) {
    for (int j = 0; j < 4; ++j) {
      const auto v = load((i + j) * kLanes);
      sums[j] = L::fma(v, v, sums[j]);
    }
  }
  for (int j = 0; i < vectors; ++i, ++j) {
    const auto v = load(i * kLanes);
    sums[j] = L::fma(v, v, sums[j]);
  }
  return inverse_length_from<L>(sums, width, epsilon);
}

template <typename L>
inline float inverse_length(const float* x, std::int64_t width, float epsilon) {
  return inverse_length_of<L>([x](std::int64_t i) { return L::load(x + i); }, width, epsilon);
}

// Walsh-Hadamard transform of Vectors * 16 floats, without the factor 1 / sqrt(n).
template <typename L, int Vectors>
inline void hadamard(typename L::F (&v)[Vectors]) {
  for (int half = 1; half < Vectors; half *= 2) {
    for (int i = 0; i < Vectors; ++i) {
      if ((i & half) != 0) continue;
      const auto a = v[i];
      const auto b = v[i + half];
      v[i] = L::add(a, b);
      v[i + half] = L::sub(a, b);
    }
  }
  for (int i = 0; i < Vectors; ++i) {
    v[i] = L::template butterfly<1>(v[i]);
    v[i] = L::template butterfly<2>(v[i]);
    v[i] = L::template butterfly<4>(v[i]);
    v[i] = L::template butterfly<8>(v[i]);
  }
}

template <typename L, int Vectors, typename Load>
inline void hadamard_blocks(const Load& load, std::int64_t width, float* out) {
  for (std::int64_t at = 0; at < width; at += Vectors * kLanes) {
    typename L::F v[Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      const std::int64_t first = Vectors % 4 == 0 ? 0 : at / kLanes;
      v[i] = load(at + i * kLanes, static_cast<int>((first + i) % 4));
    }
    hadamard<L, Vectors>(v);
    for (int i = 0; i < Vectors; ++i) L::store(out + at + i * kLanes, v[i]);
  }
}

// The blocks of a rotation: load(i, slot) gives values i to i + 15, each once and in order, slot
// being their vector's number modulo 4.
template <typename L, typename Load>
inline void rotate_blocks(const Load& load, std::int64_t width, std::int64_t block, float* out) {
  switch (block) {
    case 256:
      return hadamard_blocks<L, 16>(load, width, out);
    case 128:
      return hadamard_blocks<L, 8>(load, width, out);
    case 64:
      return hadamard_blocks<L, 4>(load, width, out);
    case 32:
      return hadamard_blocks<L, 2>(load, width, out);
    case 16:
      return hadamard_blocks<L, 1>(load, width, out);
    default:
      for (std::int64_t i = 0; i < width; i += kLanes) {
        L::store(out + i, load(i, static_cast<int>(i / kLanes % 4)));
      }
  }
}

// The reflection I - 2/3 J of three: orthogonal, its own inverse, and no channel keeps more than
// 4/9 of its energy in one place.
template <typename L>
inline void reflect(typename L::F& a, typename L::F& b, typename L::F& c) {
  const auto mean = L::mul(L::add(L::add(a, b), c), L::splat(2.0F / 3.0F));
  a = L::sub(a, mean);
  b = L::sub(b, mean);
  c = L::sub(c, mean);
}

template <typename L>
inline void reflect_nine(typename L::F (&v)[9]) {
  for (int i = 0; i < 9; i += 3) reflect<L>(v[i], v[i + 1], v[i + 2]);
  for (int i = 0; i < 3; ++i) reflect<L>(v[i], v[i + 3], v[i + 6]);
}

// One stage (Count = 3) or two (9) on `Count` neighbouring units each; gives the largest magnitude.
template <typename L, int Count>
inline typename L::F mix_units(float* x, std::int64_t width, std::int64_t unit) {
  auto largest = L::splat(0);
  for (std::int64_t at = 0; at < width; at += Count * unit) {
    for (std::int64_t i = at; i < at + unit; i += kLanes) {
      typename L::F v[Count];
      for (int j = 0; j < Count; ++j) v[j] = L::load(x + i + j * unit);
      if constexpr (Count == 3) reflect<L>(v[0], v[1], v[2]);
      if constexpr (Count == 9) reflect_nine<L>(v);
      for (int j = 0; j < Count; ++j) {
        if constexpr (Count > 1) L::store(x + i + j * unit, v[j]);
        largest = L::max(largest, L::abs(v[j]));
      }
    }
  }
  return largest;
}

// The thirds of a rotation, in place; gives the largest magnitude of the result.
template <typename L>
inline float mix_thirds(float* x, std::int64_t width, const RotationSteps& steps) {
  std::int64_t unit = steps.unit;
  std::int64_t left = steps.thirds;
  for (; left > 2; --left, unit *= 3) mix_units<L, 3>(x, width, unit);
  return L::largest(left == 2   ? mix_units<L, 9>(x, width, unit)
                    : left == 1 ? mix_units<L, 3>(x, width, unit)
                                : mix_units<L, 1>(x, width, width));
}

}  // namespace nestor::embed::lanes
