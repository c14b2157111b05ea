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

// 1 / sqrt(mean(x^2) + epsilon); load(i) gives values i to i + 15.
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
  const float sum = L::sum(L::add(L::add(sums[0], sums[1]), L::add(sums[2], sums[3])));
  return 1.0F / L::square_root(sum / static_cast<float>(width) + epsilon);
}

template <typename L>
inline float inverse_length(const float* x, std::int64_t width, float epsilon) {
  return inverse_length_of<L>([x](std::int64_t i) { return L::load(x + i); }, width, epsilon);
}

// Walsh-Hadamard transform of Vectors * 16 floats in place, without the factor 1 / sqrt(n).
template <typename L, int Vectors>
inline void hadamard(float* x) {
  typename L::F v[Vectors];
  for (int i = 0; i < Vectors; ++i) v[i] = L::load(x + i * kLanes);
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
    L::store(x + i * kLanes, v[i]);
  }
}

// The reflection I - 2/3 J of three units: orthogonal, its own inverse, and no channel keeps more
// than 4/9 of its energy in one place.
template <typename L>
inline void mix_thirds(float* x, std::int64_t unit) {
  for (std::int64_t i = 0; i < unit; i += kLanes) {
    const auto a = L::load(x + i);
    const auto b = L::load(x + unit + i);
    const auto c = L::load(x + 2 * unit + i);
    const auto mean = L::mul(L::add(L::add(a, b), c), L::splat(2.0F / 3.0F));
    L::store(x + i, L::sub(a, mean));
    L::store(x + unit + i, L::sub(b, mean));
    L::store(x + 2 * unit + i, L::sub(c, mean));
  }
}

template <typename L, int Vectors>
inline void hadamard_blocks(float* x, std::int64_t width) {
  for (std::int64_t at = 0; at < width; at += Vectors * kLanes) hadamard<L, Vectors>(x + at);
}

template <typename L>
inline void rotate(float* x, std::int64_t width, const RotationSteps& steps) {
  switch (steps.block) {
    case 256:
      hadamard_blocks<L, 16>(x, width);
      break;
    case 128:
      hadamard_blocks<L, 8>(x, width);
      break;
    case 64:
      hadamard_blocks<L, 4>(x, width);
      break;
    case 32:
      hadamard_blocks<L, 2>(x, width);
      break;
    case 16:
      hadamard_blocks<L, 1>(x, width);
      break;
    default:
      break;
  }
  std::int64_t unit = steps.unit;
  for (std::int64_t stage = 0; stage < steps.thirds; ++stage, unit *= 3) {
    for (std::int64_t at = 0; at < width; at += 3 * unit) mix_thirds<L>(x + at, unit);
  }
}

}  // namespace nestor::embed::lanes
