// Sixteen floats in two registers of AVX2 and FMA. Only for files compiled with these flags.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace nestor::embed {
namespace {

template <std::uint8_t Bias>
struct Avx2Lanes {
  struct F {
    __m256 low, high;  // lanes 0-7, 8-15
  };
  static constexpr std::uint8_t kByteBias = Bias;

  static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void store(float* p, F v) {
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
  }
  static F splat(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
  static float first(F v) { return _mm256_cvtss_f32(v.low); }
  static F add(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
  static F sub(F a, F b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
  static F mul(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
  static F fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  static F negative_fma(F a, F b, F c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }
  static F max(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
  static F min(F a, F b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
  static F abs(F a) {
    const __m256 sign = _mm256_set1_ps(-0.0F);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
  }
  static F max_magnitude(F most, F v) { return max(most, abs(v)); }
  static F round(F a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
  }
  // REQUIRES: a * 2^n is a normal number.
  static F times_power_of_two(F a, F n) {
    return {add_to_exponent(a.low, n.low), add_to_exponent(a.high, n.high)};
  }
  static float square_root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
  static F from_int32(const std::int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))),
            _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8)))};
  }

  // Lanes [begin, end) of v, `other` elsewhere.
  static F keep(F v, std::int64_t begin, std::int64_t end, float other) {
    if (begin <= 0 && end >= 16) return v;
    const auto within = [](std::int64_t lane) {
      return static_cast<int>(lane < 0 ? 0 : lane > 16 ? 16 : lane);
    };
    const __m256i from = _mm256_set1_epi32(within(begin) - 1);
    const __m256i upto = _mm256_set1_epi32(within(end));
    const __m256 rest = _mm256_set1_ps(other);
    const auto half = [&](__m256 values, __m256i lane) {
      const __m256i inside =
          _mm256_and_si256(_mm256_cmpgt_epi32(lane, from), _mm256_cmpgt_epi32(upto, lane));
      return _mm256_blendv_ps(rest, values, _mm256_castsi256_ps(inside));
    };
    return {half(v.low, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            half(v.high, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }

  template <int Distance>
  static F swap(F v) {
    if constexpr (Distance == 8) {
      return {v.high, v.low};
    } else {
      return {swap_half<Distance>(v.low), swap_half<Distance>(v.high)};
    }
  }
  template <int Distance>
  static F butterfly(F v) {
    if constexpr (Distance == 8) {
      return {_mm256_add_ps(v.low, v.high), _mm256_sub_ps(v.low, v.high)};
    } else {
      return {butterfly_half<Distance>(v.low), butterfly_half<Distance>(v.high)};
    }
  }

  // Adds lanes 8 apart, then 4, 2, 1.
  static float sum(F v) {
    const __m256 eight = _mm256_add_ps(v.low, v.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
  static float largest(F v) {
    const __m256 eight = _mm256_max_ps(v.low, v.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
  }

  static void to_int8(std::uint8_t* p, F v) {
    const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(v.low), _mm256_cvtps_epi32(v.high));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0b11011000);
    __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    if constexpr (Bias != 0) bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(Bias)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  static void to_int8_step(std::uint8_t* p, F a, F b, F c, F d) {
    to_int8(p, a);
    to_int8(p + 16, b);
    to_int8(p + 32, c);
    to_int8(p + 48, d);
  }

  static void to_bf16(std::uint16_t* p, F v) {
    const __m256i words = _mm256_packus_epi32(bf16_bits(v.low), bf16_bits(v.high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0b11011000));
  }
  static std::uint16_t bf16_of(float v) {
    return static_cast<std::uint16_t>(
        _mm_cvtsi128_si32(_mm256_castsi256_si128(bf16_bits(_mm256_set1_ps(v)))));
  }
  static void to_bf16_both(std::uint16_t* p, F first, F second) {
    to_bf16(p, first);
    to_bf16(p + 16, second);
  }
  static void from_bf16_pairs(const std::uint16_t* p, F& low, F& high) {
    const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000));
    const auto words = [p](int i) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i));
    };
    low = {_mm256_castsi256_ps(_mm256_slli_epi32(words(0), 16)),
           _mm256_castsi256_ps(_mm256_slli_epi32(words(16), 16))};
    high = {_mm256_castsi256_ps(_mm256_and_si256(words(0), upper)),
            _mm256_castsi256_ps(_mm256_and_si256(words(16), upper))};
  }
  static F from_bf16(const std::uint16_t* p) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(load_halves(p), 16)),
            _mm256_castsi256_ps(_mm256_slli_epi32(load_halves(p + 8), 16))};
  }
  static void interleave(std::uint32_t* p, const std::uint16_t* low, const std::uint16_t* high) {
    for (int i = 0; i < 16; i += 8) {
      __m256i pairs = load_halves(low + i);
      if (high != nullptr) {
        pairs = _mm256_or_si256(pairs, _mm256_slli_epi32(load_halves(high + i), 16));
      }
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + i), pairs);
    }
  }
  static void transpose(const std::uint32_t* from, std::int64_t stride, std::uint32_t* to) {
    for (int row = 0; row < 16; row += 8) {
      for (int column = 0; column < 16; column += 8) {
        transpose_eight(from + column * stride + row, stride, to + row * 16 + column);
      }
    }
  }
  static F lookup(const float* table, F index) {
    const auto half = [table](__m256 bits) {
      const __m256i n = _mm256_and_si256(_mm256_castps_si256(bits), _mm256_set1_epi32(31));
      return _mm256_i32gather_ps(table, n, 4);
    };
    return {half(index.low), half(index.high)};
  }
  static void zero_bf16(std::uint16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_setzero_si256());
  }

 private:
  // Eight by eight words; the rows of `to` are 16 words apart.
  static void transpose_eight(const std::uint32_t* from, std::int64_t stride, std::uint32_t* to) {
    __m256i a[8];
    __m256i b[8];
    for (int i = 0; i < 8; ++i) {
      a[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i * stride));
    }
    for (int i = 0; i < 8; i += 2) {
      b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
      b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {  // a[i + j] has column 4 k + j in its lane k
      a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
      a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
      a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
      a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
      auto* row = reinterpret_cast<__m256i*>(to + j * 16);
      auto* four_on = reinterpret_cast<__m256i*>(to + (4 + j) * 16);
      _mm256_storeu_si256(row, _mm256_permute2x128_si256(a[j], a[4 + j], 0x20));
      _mm256_storeu_si256(four_on, _mm256_permute2x128_si256(a[j], a[4 + j], 0x31));
    }
  }
  static __m256i load_halves(const std::uint16_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static __m256 add_to_exponent(__m256 a, __m256 n) {
    const __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), shifted));
  }
  static __m256i bf16_bits(__m256 v) {  // in the low halves
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))), 16);
  }
  template <int Distance>
  static __m256 swap_half(__m256 v) {
    if constexpr (Distance == 1) return _mm256_permute_ps(v, 0b10110001);
    if constexpr (Distance == 2) return _mm256_permute_ps(v, 0b01001110);
    if constexpr (Distance == 4) return _mm256_permute2f128_ps(v, v, 0x01);
  }
  template <int Distance>
  static __m256 butterfly_half(__m256 v) {
    const __m256 signs = Distance == 1   ? _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1)
                         : Distance == 2 ? _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1)
                                         : _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    return _mm256_fmadd_ps(v, signs, swap_half<Distance>(v));
  }
};

}  // namespace
}  // namespace nestor::embed
