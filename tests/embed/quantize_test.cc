#include "embed/quantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/hash.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::random_floats;
using testing::SampleMatrix;

TEST_CASE("bfloat16 is the nearest one, halves to even, and comes back exactly") {
  CHECK(from_bf16(to_bf16(1.0F)) == 1.0F);
  CHECK(from_bf16(to_bf16(-0.15625F)) == -0.15625F);
  CHECK(to_bf16(1.0F + 0x1p-8F) == to_bf16(1.0F));  // half way, to the even one
  CHECK(to_bf16(1.0F + 3 * 0x1p-8F) == to_bf16(1.0F + 0x1p-6F));
  CHECK(to_bf16(1.0F + 0x1p-8F + 0x1p-20F) == to_bf16(1.0F + 0x1p-7F));
  CHECK(to_bf16(-0.0F) == 0x8000);
  for (const float value : random_floats(1000, 1, 7)) {
    REQUIRE(std::abs(from_bf16(to_bf16(value)) - value) <= std::abs(value) * 0x1p-8F);
  }
}

double squared_error(const std::vector<float>& row, float scale) {
  std::vector<std::int8_t> values(row.size());
  quantize_int8(row, scale, values.data());
  double error = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double off = row[i] - static_cast<double>(scale) * values[i];
    error += off * off;
  }
  return error;
}

TEST_CASE("the scale of a row is never worse than the largest value over 127") {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const std::vector<float> row = random_floats(96, seed);
    float largest = 0;
    for (const float value : row) largest = std::max(largest, std::abs(value));
    const float scale = int8_scale(row);
    CHECK(scale <= largest / 127 * 1.000001F);
    CHECK(squared_error(row, scale) <= squared_error(row, largest / 127) * 1.000001);
  }
}

TEST_CASE("values stay within 127 steps, zeros and rows of zeros too") {
  const std::vector<float> row = {3, -3, 0, 1.5F, 300, -300};
  std::vector<std::int8_t> values(row.size());
  quantize_int8(row, 3.0F / 127, values.data());
  CHECK(values == std::vector<std::int8_t>{127, -127, 0, 64, 127, -127});
  const std::vector<float> zeros(row.size(), 0.0F);
  CHECK(int8_scale(zeros) == 0.0F);
  quantize_int8(zeros, 0.0F, values.data());
  CHECK(values == std::vector<std::int8_t>(row.size(), 0));
}

TEST_CASE("a column's bias is what the rounding of its weights loses on the mean input") {
  const std::int64_t inner = 64;
  const SampleMatrix sample(Precision::kInt8, 32, inner, 2);
  std::vector<char> layer(static_cast<std::size_t>(sample.layout().biases + 128), 0);
  const std::vector<float> weights = random_floats(inner, 3), mean = random_floats(inner, 4);
  place_column(sample.layout(), Precision::kInt8, 5, weights, mean, layer.data());
  const std::int64_t place = column_place(sample.layout(), 5) * 4;
  float scale = 0, bias = 0;
  std::int32_t sum = 0;
  std::memcpy(&scale, layer.data() + sample.layout().scales + place, 4);
  std::memcpy(&sum, layer.data() + sample.layout().sums + place, 4);
  std::memcpy(&bias, layer.data() + sample.layout().biases + place, 4);
  double lost = 0;
  std::int32_t stored_sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto stored = static_cast<std::int8_t>(layer[static_cast<std::size_t>(
        panel_offset(sample.layout(), Precision::kInt8, 5, static_cast<std::int64_t>(i)))]);
    lost += (weights[i] - static_cast<double>(scale) * stored) * mean[i];
    stored_sum += stored;
  }
  CHECK(std::abs(bias - lost) <= 1e-6);
  CHECK(sum == stored_sum);
}

TEST_CASE("a table row has its checksum, and its values in every precision") {
  const std::vector<float> row = random_floats(40, 5);
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    const TableRowLayout layout = table_row_layout(40, precision);
    CHECK(layout.bytes % 16 == 0);
    std::string bytes(static_cast<std::size_t>(layout.bytes), 'x');
    place_table_row(row, precision, layout, bytes.data());
    std::uint64_t checksum = 0;
    std::memcpy(&checksum, bytes.data(), 8);
    CHECK(checksum == hash64(std::string_view(bytes).substr(8)));
    const char* values = bytes.data() + layout.values;
    double worst = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      float value = 0;
      std::uint16_t half = 0;
      if (precision == Precision::kF32) std::memcpy(&value, values + 4 * i, 4);
      if (precision == Precision::kBf16) {
        std::memcpy(&half, values + 2 * i, 2);
        value = from_bf16(half);
      }
      if (precision == Precision::kInt8) {
        std::memcpy(&half, bytes.data() + layout.scales + i / kTableGroup * 2, 2);
        value = from_bf16(half) * static_cast<float>(static_cast<std::int8_t>(values[i]));
      }
      worst = std::max(worst, std::abs(static_cast<double>(value) - row[i]));
    }
    CHECK(worst <= (precision == Precision::kF32    ? 0
                    : precision == Precision::kBf16 ? 0.01
                                                    : 0.25));
  }
}

TEST_CASE("precisions have the names they are asked for by") {
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    CHECK(parse_precision(precision_name(precision)).value() == precision);
  }
  for (const char* name : {"", "f16", "int4", "INT8", "\x1b[2J"}) {
    const auto refused = parse_precision(name);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
    CHECK(refused.status().message().find("int8, bf16, f32") != std::string::npos);
    CHECK(refused.status().message().find('\x1b') == std::string::npos);
  }
}

}  // namespace
}  // namespace nestor::embed
