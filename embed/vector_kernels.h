// The element-wise kernels of the fast backends: norms, rotation, softmax and GELU over vectors of
// kLanes floats, written once and compiled for several instruction sets by their includer.
//
// Every function here is inlined into a caller that carries the target attribute: no code of a
// wider instruction set can leave that caller (style.md 18 tells of the way it otherwise does).
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <cstring>

#include "embed/backend.h"

namespace nestor::embed::vector_kernels {

#define NESTOR_INLINE inline __attribute__((always_inline))

template <int kLanes>
struct Lanes;
template <>
struct Lanes<4> {
  using Floats = float __attribute__((vector_size(16)));
  using Words = std::uint32_t __attribute__((vector_size(16)));
};
template <>
struct Lanes<8> {
  using Floats = float __attribute__((vector_size(32)));
  using Words = std::uint32_t __attribute__((vector_size(32)));
};
template <>
struct Lanes<16> {
  using Floats = float __attribute__((vector_size(64)));
  using Words = std::uint32_t __attribute__((vector_size(64)));
};

// Vectors are passed by reference: by value their ABI would depend on the instruction set.
template <typename Vector>
NESTOR_INLINE void load(const float* from, Vector& to) {
  std::memcpy(&to, from, sizeof(Vector));
}
template <typename Vector>
NESTOR_INLINE void store(const Vector& from, float* to) {
  std::memcpy(to, &from, sizeof(Vector));
}

// x = exp(x), relative error below 2e-7 on [-87, 88]; outside it the ends' values.
// Source: Cody and Waite's reduction x = n ln 2 + r, then the polynomial of Cephes' expf on r.
template <int kLanes>
NESTOR_INLINE void exponential(typename Lanes<kLanes>::Floats& x) {
  using Floats = typename Lanes<kLanes>::Floats;
  using Words = typename Lanes<kLanes>::Words;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const Floats low = Floats{} - 87.0F;
  const Floats high = Floats{} + 88.0F;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Floats shifted = x * 1.44269504088896341F + kRound;
  const Floats whole = shifted - kRound;
  Floats r = x - whole * 0.693359375F;
  r = r + whole * 2.12194440e-4F;
  Floats polynomial = Floats{} + 1.9875691500e-4F;
  polynomial = polynomial * r + 1.3981999507e-3F;
  polynomial = polynomial * r + 8.3334519073e-3F;
  polynomial = polynomial * r + 4.1665795894e-2F;
  polynomial = polynomial * r + 1.6666665459e-1F;
  polynomial = polynomial * r + 5.0000001201e-1F;
  polynomial = polynomial * r * r + r + 1.0F;
  // The low bits of `shifted` hold n; moved into the exponent they are 2^n.
  Words bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits + 127U) << 23U;
  Floats power;
  std::memcpy(&power, &bits, sizeof(power));
  x = polynomial * power;
}

// x = gelu_tanh(x) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3); absolute error below
// 1e-6 for |x| <= 10 against the definition with std::tanh.
template <int kLanes>
NESTOR_INLINE void gelu_tanh(typename Lanes<kLanes>::Floats& x) {
  using Floats = typename Lanes<kLanes>::Floats;
  Floats minus_two_u = -1.5957691216057308F * (x + 0.044715F * x * x * x);
  exponential<kLanes>(minus_two_u);
  x = x / (1.0F + minus_two_u);
}

template <int kLanes>
NESTOR_INLINE float add_lanes(const typename Lanes<kLanes>::Floats& vector) {
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += vector[lane];
  return total;
}

// 1 / sqrt(mean(x^2) + epsilon).
template <int kLanes>
NESTOR_INLINE float inverse_rms(const float* x, std::int64_t width, float epsilon) {
  using Floats = typename Lanes<kLanes>::Floats;
  Floats sums[2] = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    Floats a, b;
    load(x + i, a);
    load(x + i + kLanes, b);
    sums[0] += a * a;
    sums[1] += b * b;
  }
  float total = add_lanes<kLanes>(sums[0] + sums[1]);
  for (; i < width; ++i) total += x[i] * x[i];
  return 1.0F / __builtin_sqrtf(total / static_cast<float>(width) + epsilon);
}

// result = x * inverse_rms * scale (+ result where kAdd).
template <int kLanes, bool kAdd>
NESTOR_INLINE void rms_norm(std::int64_t rows, std::int64_t width, const float* x,
                            const float* scale, float epsilon, float* result) {
  using Floats = typename Lanes<kLanes>::Floats;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * width;
    float* out = result + row * width;
    const float inverse = inverse_rms<kLanes>(in, width, epsilon);
    std::int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      Floats value, factor, before = {};
      load(in + i, value);
      load(scale + i, factor);
      if constexpr (kAdd) load(out + i, before);
      value = before + value * inverse * factor;
      store(value, out + i);
    }
    for (; i < width; ++i) out[i] = (kAdd ? out[i] : 0.0F) + in[i] * inverse * scale[i];
  }
}

template <int kLanes>
NESTOR_INLINE void norm_rotate(std::int64_t width, float* head, const float* scale, float epsilon,
                               const float* cosine, const float* sine) {
  using Floats = typename Lanes<kLanes>::Floats;
  const float inverse = inverse_rms<kLanes>(head, width, epsilon);
  const std::int64_t half = width / 2;
  std::int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    Floats first, second, first_scale, second_scale, c, s;
    load(head + i, first);
    load(head + i + half, second);
    load(scale + i, first_scale);
    load(scale + i + half, second_scale);
    load(cosine + i, c);
    load(sine + i, s);
    first = first * inverse * first_scale;
    second = second * inverse * second_scale;
    store<Floats>(first * c - second * s, head + i);
    store<Floats>(second * c + first * s, head + i + half);
  }
  for (; i < half; ++i) {
    const float first = head[i] * inverse * scale[i];
    const float second = head[i + half] * inverse * scale[i + half];
    head[i] = first * cosine[i] - second * sine[i];
    head[i + half] = second * cosine[i] + first * sine[i];
  }
}

// values = exp(values - largest) / their sum, over `count` of them.
template <int kLanes>
NESTOR_INLINE void softmax_row(std::int64_t count, float* values) {
  using Floats = typename Lanes<kLanes>::Floats;
  const std::int64_t whole = count - count % kLanes;
  float largest = values[0];
  if (whole > 0) {
    Floats most;
    load(values, most);
    for (std::int64_t i = kLanes; i < whole; i += kLanes) {
      Floats value;
      load(values + i, value);
      most = value > most ? value : most;
    }
    for (int lane = 0; lane < kLanes; ++lane) largest = most[lane] > largest ? most[lane] : largest;
  }
  for (std::int64_t i = whole; i < count; ++i) largest = values[i] > largest ? values[i] : largest;
  Floats sums = {};
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    Floats value;
    load(values + i, value);
    value -= largest;
    exponential<kLanes>(value);
    sums += value;
    store(value, values + i);
  }
  float sum = add_lanes<kLanes>(sums);
  // The rest goes through the same polynomial, so that a key's weight does not depend on its place.
  Floats rest = {};
  for (std::int64_t i = whole; i < count; ++i) rest[i - whole] = values[i] - largest;
  exponential<kLanes>(rest);
  for (std::int64_t i = whole; i < count; ++i) sum += values[i] = rest[i - whole];
  const float inverse = 1.0F / sum;
  for (std::int64_t i = 0; i < count; ++i) values[i] *= inverse;
}

template <int kLanes>
NESTOR_INLINE void softmax(std::int64_t rows, std::int64_t columns, const KeyRange* ranges,
                           Matrix scores) {
  for (std::int64_t row = 0; row < rows; ++row) {
    float* values = scores.data + row * scores.stride;
    const KeyRange range = ranges[row];
    softmax_row<kLanes>(range.end - range.begin, values + range.begin);
    for (std::int64_t i = 0; i < range.begin; ++i) values[i] = 0.0F;
    for (std::int64_t i = range.end; i < columns; ++i) values[i] = 0.0F;
  }
}

template <int kLanes>
NESTOR_INLINE void gelu_multiply(std::int64_t rows, std::int64_t width, const float* gate_up,
                                 float* result) {
  using Floats = typename Lanes<kLanes>::Floats;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    float* out = result + row * width;
    std::int64_t i = 0;
    for (; i + kLanes <= width; i += kLanes) {
      Floats value, factor;
      load(gate + i, value);
      load(up + i, factor);
      gelu_tanh<kLanes>(value);
      store<Floats>(value * factor, out + i);
    }
    Floats rest = {};
    for (std::int64_t lane = 0; i + lane < width; ++lane) rest[lane] = gate[i + lane];
    gelu_tanh<kLanes>(rest);
    for (std::int64_t lane = 0; i + lane < width; ++lane) out[i + lane] = rest[lane] * up[i + lane];
  }
}

}  // namespace nestor::embed::vector_kernels
