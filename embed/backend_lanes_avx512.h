// Sixteen floats in one register of AVX-512 (F, BW, DQ, VL). Only for files compiled with these
// flags.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace nestor::embed {
namespace {

template <bool HardwareBf16, std::uint8_t Bias>
struct Avx512Lanes {
  using F = __m512;
  static constexpr std::uint8_t kByteBias = Bias;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static F splat(float v) { return _mm512_set1_ps(v); }
  static float first(F v) { return _mm512_cvtss_f32(v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F negative_fma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F max_magnitude(F most, F v) { return _mm512_range_ps(most, v, 0b1011); }
  static F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT); }
  static F times_power_of_two(F a, F n) { return _mm512_scalef_ps(a, n); }
  static float square_root(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
  static F from_int32(const std::int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }

  // Lanes [begin, end) of v, `other` elsewhere.
  static F keep(F v, std::int64_t begin, std::int64_t end, float other) {
    if (begin <= 0 && end >= 16) return v;
    const auto below = [](std::int64_t lane) {
      return lane <= 0 ? 0U : lane >= 16 ? 0xFFFFU : (1U << lane) - 1;
    };
    const unsigned upto = below(end);
    const unsigned from = below(begin);
    return _mm512_mask_blend_ps(static_cast<__mmask16>(upto & ~from), splat(other), v);
  }

  template <int Distance>
  static F swap(F v) {
    if constexpr (Distance == 1) return _mm512_permute_ps(v, 0b10110001);
    if constexpr (Distance == 2) return _mm512_permute_ps(v, 0b01001110);
    if constexpr (Distance == 4) return _mm512_shuffle_f32x4(v, v, 0b10110001);
    if constexpr (Distance == 8) return _mm512_shuffle_f32x4(v, v, 0b01001110);
  }
  template <int Distance>
  static F butterfly(F v) {
    constexpr int kMask = Distance == 1   ? 0xAAAA
                          : Distance == 2 ? 0xCCCC
                          : Distance == 4 ? 0xF0F0
                                          : 0xFF00;
    return _mm512_fmadd_ps(v, signs_of(kMask), swap<Distance>(v));
  }

  // Adds lanes 8 apart, then 4, 2, 1.
  static float sum(F v) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
  }
  static float largest(F v) { return _mm512_reduce_max_ps(v); }

  static void to_int8(std::uint8_t* p, F v) {
    __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v));
    if constexpr (Bias != 0) bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(Bias)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  // Four vectors, 64 bytes.
  static void to_int8_step(std::uint8_t* p, F a, F b, F c, F d) {
    const __m512i ab = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
    const __m512i cd = _mm512_packs_epi32(_mm512_cvtps_epi32(c), _mm512_cvtps_epi32(d));
    // Packing works inside 128-bit lanes: word i of vector j now stands at 4 i + j.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i bytes = _mm512_permutexvar_epi32(order, _mm512_packs_epi16(ab, cd));
    if constexpr (Bias != 0) {
      bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(Bias)));
    }
    _mm512_storeu_si512(p, bytes);
  }

  static __m512i bf16_bits(F v) {  // in the low halves
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_srli_epi32(
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))), 16);
  }
  static void to_bf16(std::uint16_t* p, F v) {
#ifdef __AVX512BF16__
    if constexpr (HardwareBf16) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                          reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
      return;
    }
#endif
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bf16_bits(v)));
  }
  static std::uint16_t bf16_of(float v) {
    return static_cast<std::uint16_t>(_mm512_cvtsi512_si32(bf16_bits(splat(v))));
  }
  static void to_bf16_both(std::uint16_t* p, F first, F second) {
#ifdef __AVX512BF16__
    if constexpr (HardwareBf16) {
      _mm512_storeu_si512(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first)));
      return;
    }
#endif
    to_bf16(p, first);
    to_bf16(p + 16, second);
  }
  static void from_bf16_pairs(const std::uint16_t* p, F& low, F& high) {
    const __m512i words = _mm512_loadu_si512(p);
    low = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    high = _mm512_castsi512_ps(
        _mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xFFFF0000))));
  }
  static __m512i load_halves(const std::uint16_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static F from_bf16(const std::uint16_t* p) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(load_halves(p), 16));
  }
  static void interleave(std::uint32_t* p, const std::uint16_t* low, const std::uint16_t* high) {
    __m512i pairs = load_halves(low);
    if (high != nullptr) pairs = _mm512_or_si512(pairs, _mm512_slli_epi32(load_halves(high), 16));
    _mm512_storeu_si512(p, pairs);
  }
  static void transpose(const std::uint32_t* from, std::int64_t stride, std::uint32_t* to) {
    __m512i a[16];
    __m512i b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + i * stride);
    for (int i = 0; i < 16; i += 2) {  // words of two rows
      b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
      b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {  // of four: a[i + j] has column 4 k + j in its lane k
      a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
      a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
      a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
      a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
      const __m512i low = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x44);
      const __m512i low_two = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x44);
      const __m512i high = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xEE);
      const __m512i high_two = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xEE);
      _mm512_storeu_si512(to + j * 16, _mm512_shuffle_i32x4(low, low_two, 0x88));
      _mm512_storeu_si512(to + (4 + j) * 16, _mm512_shuffle_i32x4(low, low_two, 0xDD));
      _mm512_storeu_si512(to + (8 + j) * 16, _mm512_shuffle_i32x4(high, high_two, 0x88));
      _mm512_storeu_si512(to + (12 + j) * 16, _mm512_shuffle_i32x4(high, high_two, 0xDD));
    }
  }
  static F lookup(const float* table, F index) {
    return _mm512_permutex2var_ps(_mm512_load_ps(table), _mm512_castps_si512(index),
                                  _mm512_load_ps(table + 16));
  }
  static void zero_bf16(std::uint16_t* p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_setzero_si256());
  }

 private:
  static F signs_of(int mask) {
    return _mm512_mask_blend_ps(static_cast<__mmask16>(mask), _mm512_set1_ps(1.0F),
                                _mm512_set1_ps(-1.0F));
  }
};

}  // namespace
}  // namespace nestor::embed
