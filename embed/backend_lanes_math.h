// Mathematics of the tiled backends over `L`, sixteen floats at a time (backend_lanes_kernels.h
// says what L is and what may not be done to it): powers, GELU, lengths and the rotation.
#pragma once

#include <cstdint>

#include "embed/gelu_table.h"
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

// gelu_tanh(x) = x / 2 + |x| T(|x|) with T from gelu_table.h: the tanh form of Hendrycks and
// Gimpel. Within 7e-6 of it for |x| <= 1, 7e-6 |x| beyond: bf16, which it becomes, rounds 500 times
// coarser.
template <typename L>
inline typename L::F gelu_tanh(typename L::F x) {
  constexpr float kStep = 5.0F / 32.0F;
  constexpr float kNoFraction =
      12582912.0F;  // 1.5 * 2^23: a sum with it is rounded to whole numbers
  const auto size = L::abs(x);
  const auto held = L::min(size, L::splat(31 * kStep));
  const auto place = L::fma(held, L::splat(1.0F / kStep), L::splat(kNoFraction));
  const auto centre = L::sub(place, L::splat(kNoFraction));
  const auto r = L::negative_fma(centre, L::splat(kStep), held);
  auto t = L::fma(L::lookup(kGeluCurves, place), r, L::lookup(kGeluSlopes, place));
  t = L::fma(t, r, L::lookup(kGeluConstants, place));
  return L::fma(size, t, L::mul(x, L::splat(0.5F)));
}

// 1 / sqrt(mean(x^2) + epsilon) from the sums of squares of the vectors 0, 1, 2, 3 modulo 4.
template <typename L>
inline float inverse_length_from(const typename L::F (&sums)[4], std::int64_t width,
                                 float epsilon) {
  const float sum = L::sum(L::add(L::add(sums[0], sums[1]), L::add(sums[2], sums[3])));
  return 1.0F / L::square_root(sum / static_cast<float>(width) + epsilon);
}

// The same of values; load(i, slot) gives values i to i + 15, each once and in order, slot being
// their vector's number modulo 4.
template <typename L, typename Load>
inline float inverse_length_of(const Load& load, std::int64_t width, float epsilon) {
  typename L::F sums[4] = {L::splat(0), L::splat(0), L::splat(0), L::splat(0)};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= width; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int slot = 0; slot < 4; ++slot) {
      const auto v = load(i + slot * kLanes, slot);
      sums[slot] = L::fma(v, v, sums[slot]);
    }
  }
#pragma GCC unroll 3
  for (int slot = 0; slot < 3; ++slot, i += kLanes) {
    if (i >= width) break;
    const auto v = load(i, slot);
    sums[slot] = L::fma(v, v, sums[slot]);
  }
  return inverse_length_from<L>(sums, width, epsilon);
}

template <typename L>
inline float inverse_length(const float* x, std::int64_t width, float epsilon) {
  return inverse_length_of<L>([x](std::int64_t i, int) { return L::load(x + i); }, width, epsilon);
}

// Stages of a Walsh-Hadamard transform over whole vectors: pairs `Half` apart, then twice as far.
// Unrolled by force: left to itself g++ 12 keeps the vectors in memory, at twice the time.
template <typename L, int Vectors, int Half>
inline void hadamard_stages(typename L::F (&v)[Vectors]) {
  if constexpr (Half < Vectors) {
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      if ((i & Half) != 0) continue;
      const auto a = v[i];
      const auto b = v[i + Half];
      v[i] = L::add(a, b);
      v[i + Half] = L::sub(a, b);
    }
    hadamard_stages<L, Vectors, 2 * Half>(v);
  }
}

// The stage of a Hadamard transform that mixes lanes `Distance` apart: of each pair of vectors the
// second has its lanes swapped first, which costs one shuffle for two vectors; rotation.h has the
// mathematics.
template <typename L, int Vectors, int Stage>
inline void hadamard_lanes(typename L::F (&v)[Vectors]) {
  constexpr int kDistance = 1 << Stage;
  if constexpr (Vectors == 1) {
    v[0] = L::template butterfly<kDistance>(v[0]);
  } else {
    constexpr int kPairs = Vectors == 16 ? 4 : Vectors == 8 ? 3 : Vectors == 4 ? 2 : 1;
    constexpr int kHalf = 1 << Stage % kPairs;
#pragma GCC unroll 16
    for (int i = 0; i < Vectors; ++i) {
      if ((i & kHalf) != 0) continue;
      const auto a = v[i];
      const auto b = L::template swap<kDistance>(v[i + kHalf]);
      v[i] = L::add(a, b);
      v[i + kHalf] = L::sub(a, b);
    }
  }
}

// Hadamard transform of Vectors * 16 floats, without the factor 1 / sqrt(n).
template <typename L, int Vectors>
inline void hadamard(typename L::F (&v)[Vectors]) {
  hadamard_stages<L, Vectors, 1>(v);
  hadamard_lanes<L, Vectors, 0>(v);
  hadamard_lanes<L, Vectors, 1>(v);
  hadamard_lanes<L, Vectors, 2>(v);
  hadamard_lanes<L, Vectors, 3>(v);
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
#pragma GCC unroll 16
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
// A largest one for every unit: one for all would be a chain as long as the row.
template <typename L, int Count>
inline typename L::F mix_units(float* x, std::int64_t width, std::int64_t unit) {
  typename L::F largest[Count];
  for (auto& most : largest) most = L::splat(0);
  for (std::int64_t at = 0; at < width; at += Count * unit) {
    for (std::int64_t i = at; i < at + unit; i += kLanes) {
      typename L::F v[Count];
#pragma GCC unroll 9
      for (int j = 0; j < Count; ++j) v[j] = L::load(x + i + j * unit);
      if constexpr (Count == 3) reflect<L>(v[0], v[1], v[2]);
      if constexpr (Count == 9) reflect_nine<L>(v);
#pragma GCC unroll 9
      for (int j = 0; j < Count; ++j) {
        L::store(x + i + j * unit, v[j]);
        largest[j] = L::max_magnitude(largest[j], v[j]);
      }
    }
  }
  for (int j = 1; j < Count; ++j) largest[0] = L::max(largest[0], largest[j]);
  return largest[0];
}

template <typename L>
inline typename L::F largest_magnitude(const float* x, std::int64_t width) {
  typename L::F largest[4] = {L::splat(0), L::splat(0), L::splat(0), L::splat(0)};
  for (std::int64_t i = 0; i < width; i += kLanes) {
    auto& most = largest[i / kLanes % 4];
    most = L::max_magnitude(most, L::load(x + i));
  }
  return L::max(L::max(largest[0], largest[1]), L::max(largest[2], largest[3]));
}

// The thirds of a rotation, in place; gives the largest magnitude of the result.
template <typename L>
inline float mix_thirds(float* x, std::int64_t width, const RotationSteps& steps) {
  std::int64_t unit = steps.unit;
  std::int64_t left = steps.thirds;
  for (; left > 2; --left, unit *= 3) mix_units<L, 3>(x, width, unit);
  return L::largest(left == 2   ? mix_units<L, 9>(x, width, unit)
                    : left == 1 ? mix_units<L, 3>(x, width, unit)
                                : largest_magnitude<L>(x, width));
}

}  // namespace nestor::embed::lanes
