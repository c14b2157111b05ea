#include "embed/number_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

constexpr std::int64_t kGgufBlockValues = 32;
constexpr std::int64_t kScaleBytes = 2;

struct GgmlType {
  std::uint32_t number;
  const char* name;
};
// Source: enum ggml_type in ggml.h of llama.cpp; the numbers left out are retired.
constexpr std::array<GgmlType, 35> kGgmlTypes = {{
    {0, "F32"},     {1, "F16"},    {2, "Q4_0"},     {3, "Q4_1"},    {6, "Q5_0"},     {7, "Q5_1"},
    {8, "Q8_0"},    {9, "Q8_1"},   {10, "Q2_K"},    {11, "Q3_K"},   {12, "Q4_K"},    {13, "Q5_K"},
    {14, "Q6_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"},
    {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},
    {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {30, "BF16"},    {34, "TQ1_0"},
    {35, "TQ2_0"},  {39, "MXFP4"}, {40, "NVFP4"},   {41, "Q1_0"},   {42, "Q2_0"},
}};

std::uint16_t load_u16(const char* bytes) {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// binary16 to binary32, exactly. The exponent is moved by a product with a power of two, which also
// makes subnormals right; infinity and NaN keep their payload.
float from_f16(std::uint16_t half) {
  constexpr float kExponentShift = 0x1p112F;  // 2^(127 - 15)
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(half & 0x7fffU) << 13;
  if ((half & 0x7c00U) == 0x7c00U) return std::bit_cast<float>(sign | 0x7f800000U | rest);
  const float magnitude = std::bit_cast<float>(rest) * kExponentShift;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

float from_bf16(std::uint16_t upper) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16);
}

void q8_0_to_floats(std::string_view bytes, std::span<float> out) {
  const char* block = bytes.data();
  for (std::size_t i = 0; i < out.size();
       i += kGgufBlockValues, block += kScaleBytes + kGgufBlockValues) {
    const float scale = from_f16(load_u16(block));
    for (std::size_t j = 0; j < kGgufBlockValues; ++j) {
      out[i + j] = scale * static_cast<float>(static_cast<std::int8_t>(block[kScaleBytes + j]));
    }
  }
}

void q4_0_to_floats(std::string_view bytes, std::span<float> out) {
  constexpr std::size_t kHalf = kGgufBlockValues / 2;
  constexpr int kZero = 8;
  const char* block = bytes.data();
  for (std::size_t i = 0; i < out.size(); i += kGgufBlockValues, block += kScaleBytes + kHalf) {
    const float scale = from_f16(load_u16(block));
    for (std::size_t j = 0; j < kHalf; ++j) {
      const int pair = static_cast<unsigned char>(block[kScaleBytes + j]);
      out[i + j] = scale * static_cast<float>((pair & 15) - kZero);
      out[i + j + kHalf] = scale * static_cast<float>((pair >> 4) - kZero);
    }
  }
}

}  // namespace

std::optional<NumberFormat> number_format_of_ggml(std::uint32_t type) {
  for (const NumberFormat format : {NumberFormat::kF32, NumberFormat::kF16, NumberFormat::kQ4_0,
                                    NumberFormat::kQ8_0, NumberFormat::kBf16}) {
    if (static_cast<std::uint32_t>(format) == type) return format;
  }
  return std::nullopt;
}

std::string ggml_type_name(std::uint32_t type) {
  for (const GgmlType& known : kGgmlTypes) {
    if (known.number == type) return known.name;
  }
  return fmt::format("type {}", type);
}

const char* number_format_name(NumberFormat format) {
  switch (format) {
    case NumberFormat::kF32:
      return "F32";
    case NumberFormat::kF16:
      return "F16";
    case NumberFormat::kQ4_0:
      return "Q4_0";
    case NumberFormat::kQ8_0:
      return "Q8_0";
    case NumberFormat::kBf16:
      return "BF16";
  }
  return "?";
}

BlockSize block_size(NumberFormat format) {
  switch (format) {
    case NumberFormat::kF32:
      return {1, 4};
    case NumberFormat::kF16:
    case NumberFormat::kBf16:
      return {1, 2};
    case NumberFormat::kQ4_0:
      return {kGgufBlockValues, kScaleBytes + kGgufBlockValues / 2};
    case NumberFormat::kQ8_0:
      return {kGgufBlockValues, kScaleBytes + kGgufBlockValues};
  }
  return {};
}

std::uint64_t stored_bytes(NumberFormat format, std::int64_t values) {
  const BlockSize block = block_size(format);
  NESTOR_CHECK(values >= 0 && values % block.values == 0, "whole blocks");
  return static_cast<std::uint64_t>(values / block.values * block.bytes);
}

void to_floats(NumberFormat format, std::string_view bytes, std::span<float> out) {
  NESTOR_CHECK(bytes.size() == stored_bytes(format, static_cast<std::int64_t>(out.size())),
               "as many bytes as the values take");
  switch (format) {
    case NumberFormat::kF32:
      if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case NumberFormat::kF16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = from_f16(load_u16(&bytes[2 * i]));
      return;
    case NumberFormat::kBf16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = from_bf16(load_u16(&bytes[2 * i]));
      return;
    case NumberFormat::kQ4_0:
      return q4_0_to_floats(bytes, out);
    case NumberFormat::kQ8_0:
      return q8_0_to_floats(bytes, out);
  }
}

Status read_floats(const RandomAccessFile& file, NumberFormat format, std::uint64_t offset,
                   std::span<float> out) {
  constexpr std::size_t kPieceValues = 1 << 18;  // whole blocks; at most 1 MiB
  std::vector<char> stored;
  for (std::size_t done = 0; done < out.size(); done += kPieceValues) {
    const std::span<float> piece = out.subspan(done, std::min(kPieceValues, out.size() - done));
    const std::uint64_t bytes = stored_bytes(format, static_cast<std::int64_t>(piece.size()));
    if (format == NumberFormat::kF32) {
      NESTOR_RETURN_IF_ERROR(
          file.read(offset, {reinterpret_cast<char*>(piece.data()), piece.size_bytes()}));
    } else {
      stored.resize(bytes);
      NESTOR_RETURN_IF_ERROR(file.read(offset, stored));
      to_floats(format, {stored.data(), stored.size()}, piece);
    }
    offset += bytes;
  }
  return {};
}

}  // namespace nestor::embed
