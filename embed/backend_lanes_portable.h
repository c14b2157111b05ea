// Sixteen floats in plain C++: the definition of what the lanes of every instruction set do.
#pragma once

#include <cstdint>
#include <cstring>

namespace nestor::embed {
namespace {

struct PortableLanes {
  struct F {
    float lane[16];
  };
  static constexpr std::uint8_t kByteBias = 0;

  template <typename Work>
  static F each(const Work& work) {
    F result;
    for (int i = 0; i < 16; ++i) result.lane[i] = work(i);
    return result;
  }

  static F load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static void store(float* p, const F& v) { std::memcpy(p, v.lane, sizeof v.lane); }
  static F splat(float v) {
    return each([&](int) { return v; });
  }
  static float first(const F& v) { return v.lane[0]; }
  static F add(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static F sub(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static F mul(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  // a * b + c, rounded once.
  static F fma(const F& a, const F& b, const F& c) {
    return each([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  // c - a * b, rounded once.
  static F negative_fma(const F& a, const F& b, const F& c) {
    return each([&](int i) { return __builtin_fmaf(-a.lane[i], b.lane[i], c.lane[i]); });
  }
  static F max(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static F min(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  // Of magnitudes so far and the magnitude of v.
  static F max_magnitude(const F& most, const F& v) { return max(most, abs(v)); }
  static F abs(const F& a) {
    return each([&](int i) { return __builtin_fabsf(a.lane[i]); });
  }
  // To the nearest whole number, halves to the even one.
  static F round(const F& a) {
    return each([&](int i) { return __builtin_rintf(a.lane[i]); });
  }
  // REQUIRES: a * 2^n is a normal number.
  static F times_power_of_two(const F& a, const F& n) {
    return each([&](int i) { return __builtin_ldexpf(a.lane[i], static_cast<int>(n.lane[i])); });
  }
  static float square_root(float a) { return __builtin_sqrtf(a); }
  static F from_int32(const std::int32_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
  }
  // Lanes [begin, end) of v, `other` elsewhere.
  static F keep(const F& v, std::int64_t begin, std::int64_t end, float other) {
    return each([&](int i) { return i >= begin && i < end ? v.lane[i] : other; });
  }
  // Lane i is lane i ^ Distance of v.
  template <int Distance>
  static F swap(const F& v) {
    return each([&](int i) { return v.lane[i ^ Distance]; });
  }
  // Lane i and lane i ^ Distance become their sum and their difference.
  template <int Distance>
  static F butterfly(const F& v) {
    return each([&](int i) {
      const float other = v.lane[i ^ Distance];
      return (i & Distance) == 0 ? v.lane[i] + other : other - v.lane[i];
    });
  }
  // Adds lanes 8 apart, then 4, 2, 1.
  static float sum(const F& v) {
    F s = v;
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) s.lane[i] = s.lane[i] + s.lane[i + half];
    }
    return s.lane[0];
  }
  static float largest(const F& v) {
    float most = v.lane[0];
    for (const float value : v.lane) most = value > most ? value : most;
    return most;
  }
  // Rounded as `round` does, held within [-128, 127].
  static void to_int8(std::uint8_t* p, const F& v) {
    for (int i = 0; i < 16; ++i) {
      const float whole = __builtin_rintf(v.lane[i]);
      const float held = whole < -128.0F ? -128.0F : whole > 127.0F ? 127.0F : whole;
      p[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(held));
    }
  }
  // Four vectors in a row.
  static void to_int8_step(std::uint8_t* p, const F& a, const F& b, const F& c, const F& d) {
    to_int8(p, a);
    to_int8(p + 16, b);
    to_int8(p + 32, c);
    to_int8(p + 48, d);
  }
  // To the nearest, halves to the even one. REQUIRES: finite.
  static std::uint16_t bf16_of(float v) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &v, sizeof bits);
    return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  static void to_bf16(std::uint16_t* p, const F& v) {
    for (int i = 0; i < 16; ++i) p[i] = bf16_of(v.lane[i]);
  }
  static void to_bf16_both(std::uint16_t* p, const F& first, const F& second) {
    to_bf16(p, first);
    to_bf16(p + 16, second);
  }
  static F from_bf16(const std::uint16_t* p) {
    return each([&](int i) { return widen(p[i]); });
  }
  // Sixteen words: the lower halves and the upper ones.
  static void from_bf16_pairs(const std::uint16_t* p, F& low, F& high) {
    low = each([&](int i) { return widen(p[2 * i]); });
    high = each([&](int i) { return widen(p[2 * i + 1]); });
  }
  // Words of two bf16: `low` in the lower halves, `high` (null: zeros) in the upper ones.
  static void interleave(std::uint32_t* p, const std::uint16_t* low, const std::uint16_t* high) {
    for (int i = 0; i < 16; ++i) {
      p[i] = low[i] | (high == nullptr ? 0U : static_cast<std::uint32_t>(high[i]) << 16);
    }
  }
  // to(16, 16) = from(16, 16) transposed, words; `stride` words from row to row of `from`.
  static void transpose(const std::uint32_t* from, std::int64_t stride, std::uint32_t* to) {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 16; ++column)
        to[row * 16 + column] = from[column * stride + row];
    }
  }
  // table[n], 32 floats aligned to 64 bytes; n: the low five bits of each lane.
  static F lookup(const float* table, const F& index) {
    F result;
    for (int i = 0; i < 16; ++i) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, &index.lane[i], sizeof bits);
      result.lane[i] = table[bits & 31];
    }
    return result;
  }
  static void zero_bf16(std::uint16_t* p) { std::memset(p, 0, 32); }

 private:
  static float widen(std::uint16_t half) {
    const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

}  // namespace
}  // namespace nestor::embed
