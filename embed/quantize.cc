#include "embed/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/hash.h"

namespace nestor::embed {
namespace {

constexpr float kMostInt8 = 127.0F;

// To the nearest whole number, halves to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no room for
// a fraction. std::nearbyint is a call for every value on the baseline processor.
float nearest(float x) {
  constexpr float kNoFraction = 12582912.0F;
  return (x + kNoFraction) - kNoFraction;
}

float quantized(float value, float inverse) {
  return std::clamp(nearest(value * inverse), -kMostInt8, kMostInt8);
}

float squared_error(std::span<const float> row, float scale) {
  float error = 0;
  const float inverse = 1.0F / scale;
  for (const float value : row) {
    const float off = value - quantized(value, inverse) * scale;
    error += off * off;
  }
  return error;
}

}  // namespace

std::uint16_t to_bf16(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float from_bf16(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float int8_scale(std::span<const float> row) {
  float largest = 0;
  for (const float value : row) largest = std::max(largest, std::abs(value));
  if (largest == 0) return 0;
  float best = largest / kMostInt8;
  float least = squared_error(row, best);
  for (const float cut : {0.98F, 0.96F, 0.94F, 0.92F, 0.9F, 0.87F, 0.84F, 0.8F}) {
    const float scale = largest * cut / kMostInt8;
    const float error = squared_error(row, scale);
    if (error >= least) continue;
    least = error;
    best = scale;
  }
  return best;
}

void quantize_int8(std::span<const float> row, float scale, std::int8_t* out) {
  const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
  for (std::size_t i = 0; i < row.size(); ++i) {
    out[i] = static_cast<std::int8_t>(quantized(row[i], inverse));
  }
}

void place_column(const TiledMatrixLayout& matrix, Precision precision, std::int64_t column,
                  std::span<const float> weights, std::span<const float> mean_input, char* layer) {
  char* panels = layer + matrix.offset;
  const auto inner = static_cast<std::int64_t>(weights.size());
  if (precision == Precision::kBf16) {
    for (std::int64_t i = 0; i < inner; ++i) {
      const std::uint16_t half = to_bf16(weights[static_cast<std::size_t>(i)]);
      std::memcpy(panels + panel_offset(matrix, precision, column, i), &half, sizeof half);
    }
    return;
  }
  std::vector<std::int8_t> values(weights.size());
  const float scale = int8_scale(weights);
  quantize_int8(weights, scale, values.data());
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < inner; ++i) {
    const std::int8_t value = values[static_cast<std::size_t>(i)];
    panels[panel_offset(matrix, precision, column, i)] = static_cast<char>(value);
    sum += value;
  }
  const std::int64_t place = column_place(matrix, column) * 4;
  std::memcpy(layer + matrix.scales + place, &scale, sizeof scale);
  std::memcpy(layer + matrix.sums + place, &sum, sizeof sum);
  double bias = 0;
  for (std::size_t i = 0; i < mean_input.size(); ++i) {
    const double lost = static_cast<double>(weights[i]) -
                        static_cast<double>(scale) * static_cast<double>(values[i]);
    bias += lost * static_cast<double>(mean_input[i]);
  }
  const auto stored = static_cast<float>(bias);
  std::memcpy(layer + matrix.biases + place, &stored, sizeof stored);
}

void place_table_row(std::span<const float> row, Precision precision, const TableRowLayout& layout,
                     char* out) {
  std::memset(out, 0, static_cast<std::size_t>(layout.bytes));
  char* values = out + layout.values;
  if (precision == Precision::kInt8) {
    constexpr auto kGroup = static_cast<std::size_t>(kTableGroup);
    char* scales = out + layout.scales;
    for (std::size_t at = 0; at < row.size(); at += kGroup, scales += sizeof(std::uint16_t)) {
      const std::span<const float> group = row.subspan(at, std::min(kGroup, row.size() - at));
      const std::uint16_t scale = to_bf16(int8_scale(group));
      std::memcpy(scales, &scale, sizeof scale);
      quantize_int8(group, from_bf16(scale), reinterpret_cast<std::int8_t*>(values + at));
    }
  } else if (precision == Precision::kBf16) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::uint16_t half = to_bf16(row[i]);
      std::memcpy(values + 2 * i, &half, sizeof half);
    }
  } else {
    std::memcpy(values, row.data(), row.size_bytes());
  }
  const std::uint64_t checksum =
      hash64({out + sizeof checksum, static_cast<std::size_t>(layout.bytes) - sizeof checksum});
  std::memcpy(out, &checksum, sizeof checksum);
}

}  // namespace nestor::embed
