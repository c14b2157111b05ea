// The scalar tiled kernels, which define the others, against the same in double precision.
#include <doctest/doctest.h>

#include <cmath>

#include "embed/backend_lanes_kernels.h"
#include "embed/backend_lanes_portable.h"
#include "embed/rotation.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::aligned;
using testing::aligned_copy;
using testing::random_floats;
using testing::SampleHalves;
using testing::SampleMatrix;
using testing::SampleRows;

std::vector<float> as_halves(std::vector<float> values) {
  for (float& value : values) value = from_bf16(to_bf16(value));
  return values;
}

double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

TEST_CASE("int8 products are exact sums of the stored values, scaled, plus the bias, as bf16") {
  const std::int64_t rows = 6, inner = 80, columns = 48;
  const SampleMatrix matrix(Precision::kInt8, columns, inner, 1);
  const TiledBackend& scalar = *scalar_tables(Precision::kInt8);
  for (const bool fine : {false, true}) {
    SampleRows a(scalar, rows, inner, fine, random_floats(rows * inner, 2));
    SampleHalves result(HalfOrder::kPairs, rows, columns);
    const TiledMatrix b = matrix.view();
    scalar.linear({.rows = rows,
                   .a = a.view(),
                   .b = b,
                   .panel_begin = 0,
                   .panel_end = 2,
                   .result = result.view()});
    const auto bytes = a.bytes(scalar.input_bias);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        double sum = 0, rest = 0;
        for (std::int64_t i = 0; i < inner; ++i) {
          const auto* from = bytes.data() + row * (fine ? 2 : 1) * b.steps * 64 + i;
          const int weight = matrix.at(column, i);
          sum += static_cast<std::int8_t>(from[0]) * weight;
          rest += fine ? static_cast<std::int8_t>(from[b.steps * 64]) * weight : 0;
        }
        const double scale =
            static_cast<double>(matrix.scale(column)) * a.scales()[static_cast<std::size_t>(row)];
        const double want = (sum + rest / 254) * scale + matrix.bias(column);
        const double magnitude = std::abs(sum * scale) + std::abs(matrix.bias(column));
        const float got = from_bf16(result.at(row, column));
        // Half a step of the bfloat16 it is rounded to.
        REQUIRE(std::abs(got - want) <= std::abs(want) * 0x1p-8 + 3e-7 * magnitude);
      }
    }
  }
}

TEST_CASE("the sums of the columns are those of the stored weights") {
  const SampleMatrix matrix(Precision::kInt8, 48, 80, 3);
  for (std::int64_t column = 0; column < 64; ++column) {
    int sum = 0;
    for (std::int64_t i = 0; column < 48 && i < 80; ++i) sum += matrix.at(column, i);
    CHECK(matrix.sum(column) == sum);
  }
}

TEST_CASE("fine rows keep 16 bits of their input, coarse ones 8") {
  const std::int64_t inner = 64;
  const std::vector<float> x = as_halves(random_floats(inner, 4));
  const TiledBackend& scalar = *scalar_tables(Precision::kInt8);
  for (const bool fine : {false, true}) {
    const SampleRows rows(scalar, 1, inner, fine, x);
    const auto bytes = rows.bytes(scalar.input_bias);
    const double scale = rows.scales()[0];
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      double value = static_cast<std::int8_t>(bytes[i]);
      if (fine) value += static_cast<std::int8_t>(bytes[64 + i]) / 254.0;
      worst = std::max(worst, std::abs(value * scale - x[i]));
    }
    CHECK(worst <= (fine ? 0.5 / 254 : 0.5) * scale * 1.001);
  }
}

TEST_CASE("bf16 products are sums of the stored values to half a step of bf16") {
  const std::int64_t inner = 80, columns = 48;
  const SampleMatrix matrix(Precision::kBf16, columns, inner, random_floats(columns * inner, 5),
                            {});
  const TiledBackend& scalar = *scalar_tables(Precision::kBf16);
  const std::vector<float> x = random_floats(inner, 6);
  const std::vector<float> weights = random_floats(columns * inner, 5);
  SampleRows a(scalar, 1, inner, false, x);
  SampleHalves result(HalfOrder::kPairs, 1, columns);
  scalar.linear({.rows = 1,
                 .a = a.view(),
                 .b = matrix.view(),
                 .panel_begin = 0,
                 .panel_end = 2,
                 .result = result.view()});
  for (std::int64_t column = 0; column < columns; ++column) {
    double want = 0, magnitude = 0;
    for (std::int64_t i = 0; i < inner; ++i) {
      const double product =
          static_cast<double>(from_bf16(to_bf16(x[static_cast<std::size_t>(i)]))) *
          from_bf16(to_bf16(weights[static_cast<std::size_t>(column * inner + i)]));
      want += product;
      magnitude += std::abs(product);
    }
    const float got = from_bf16(result.at(0, column));
    CHECK(std::abs(got - want) <= std::abs(want) * 0x1p-8 + 1e-6 * magnitude);
  }
}

TEST_CASE("powers of two are within 3e-6 of the truth, from -125 on") {
  double worst = 0;
  for (float x = -125.0F; x <= 1.0F; x += 0.0137F) {
    const float got = PortableLanes::first(lanes::exp2_of<PortableLanes>(PortableLanes::splat(x)));
    worst = std::max(worst, std::abs(got / std::exp2(static_cast<double>(x)) - 1));
  }
  CHECK(worst <= 3e-6);
  const auto far = lanes::exp2_of<PortableLanes>(PortableLanes::splat(-1e30F));
  // Never a denormal: some instruction sets round those to bf16 as zero.
  CHECK(std::isnormal(PortableLanes::first(far)));
  CHECK(PortableLanes::first(far) < 0x1p-120F);
}

TEST_CASE("GELU is within 7e-6 of the truth and exact far from zero") {
  const auto got = [](float x) {
    return PortableLanes::first(lanes::gelu_tanh<PortableLanes>(PortableLanes::splat(x)));
  };
  for (float x = -12.0F; x <= 12.0F; x += 0.0093F) {
    const double want = gelu(x);
    CAPTURE(x);
    REQUIRE(std::abs(got(x) - want) <= 7e-6 * std::max(std::abs(want), 1.0));
    // Near zero it is x / 2 and a part in 30,000 of that.
    if (std::abs(x) < 1) REQUIRE(std::abs(got(x) - want) <= 3.5e-5 * std::abs(x) / 2);
  }
  CHECK(got(1000.0F) == 1000.0F);
  CHECK(got(-1000.0F) == 0.0F);
  CHECK(got(0.0F) == 0.0F);
}

TEST_CASE("the product with GELU is gelu(gate) * up") {
  const std::int64_t inner = 64;
  // Weights of zero: gate and up are the biases.
  const std::vector<float> biases = random_floats(64, 7, 3);
  const SampleMatrix matrix(Precision::kInt8, 64, inner,
                            std::vector<float>(static_cast<std::size_t>(64 * inner), 0.0F), biases,
                            false);
  const TiledBackend& scalar = *scalar_tables(Precision::kInt8);
  SampleRows a(scalar, 1, inner, false, random_floats(inner, 8));
  SampleHalves result(HalfOrder::kPlain, 1, 32);
  scalar.linear_gelu({.rows = 1,
                      .a = a.view(),
                      .b = matrix.view(),
                      .panel_begin = 0,
                      .panel_end = 2,
                      .result = result.view()});
  for (std::int64_t i = 0; i < 32; ++i) {
    const auto at = static_cast<std::size_t>(i / 16 * 32 + i % 16);
    const double want = gelu(biases[at]) * biases[at + 16];
    CHECK(std::abs(from_bf16(result.at(0, i)) - want) <= std::abs(want) * 0x1p-8 + 1e-4);
  }
}

TEST_CASE("softmax's weights sum to 1 and are those of the scores, as powers of two") {
  const std::int64_t columns = 64;
  const std::vector<float> scores = random_floats(columns, 9, 4);
  auto x = aligned<float>(2 * kBlockValues);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    x.data()[static_cast<std::int64_t>(i) / 32 * kBlockValues + static_cast<std::int64_t>(i) % 32] =
        scores[i];
  }
  auto weights = aligned<std::uint8_t>(2 * kTileBytes);
  const std::int32_t begin = 5, end = 50;
  float inverse = 0;
  scalar_tables(Precision::kInt8)
      ->softmax({.rows = 1,
                 .panel_count = 2,
                 .scores = x.data(),
                 .weights = weights.data(),
                 .begins = &begin,
                 .ends = &end,
                 .inverse_sums = &inverse});
  const float most = *std::max_element(scores.begin() + begin, scores.begin() + end);
  double sum = 0;
  for (std::size_t i = 5; i < 50; ++i) sum += std::exp2(static_cast<double>(scores[i]) - most);
  CHECK(std::abs(inverse * sum - 1) <= 3e-6);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, weights.data() + input_offset(0, 2 * static_cast<std::int64_t>(i), 2),
                sizeof half);
    const bool inside = i >= 5 && i < 50;
    const double want = inside ? std::exp2(static_cast<double>(scores[i]) - most) : 0;
    CHECK(std::abs(from_bf16(half) - want) <= want * (0x1p-8 + 3e-6));
  }
}

TEST_CASE("norms divide by the root of the mean square and add the branch to the stream") {
  const std::int64_t width = 80;
  const std::vector<float> before = random_floats(width, 10),
                           branch = as_halves(random_floats(width, 11, 4)),
                           scale = random_floats(width, 12);
  auto stream = aligned_copy(before);
  const SampleHalves half_branch(HalfOrder::kPairs, 1, width, branch);
  const auto aligned_scale = aligned_copy(scale);
  scalar_tables(Precision::kBf16)
      ->norm({.rows = 1,
              .width = width,
              .epsilon = 0.25F,
              .stream = stream.data(),
              .branch = half_branch.view(),
              .post_scale = aligned_scale.data(),
              .rotation = {},
              .out = {}});
  double squares = 0;
  for (const float value : branch) squares += static_cast<double>(value) * value;
  const double length = std::sqrt(squares / static_cast<double>(width) + 0.25);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double want = before[i] + branch[i] / length * scale[i];
    CHECK(std::abs(stream.data()[i] - want) <= 1e-6 * (1 + std::abs(want)));
  }
}

TEST_CASE("the head is the matrix product it should be") {
  const std::int64_t in = 33, out = 144;
  const std::vector<float> x = random_floats(in, 13), weight = random_floats(in * out, 14);
  const auto aligned_weight = aligned_copy(weight);
  std::vector<float> y(static_cast<std::size_t>(out));
  scalar_tables(Precision::kInt8)
      ->transform(in, out, 0, out, x.data(), aligned_weight.data(), y.data());
  for (std::size_t j = 0; j < y.size(); ++j) {
    double want = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      want += static_cast<double>(x[i]) * weight[i * y.size() + j];
    }
    CHECK(std::abs(y[j] - want) <= 1e-5);
  }
}

}  // namespace
}  // namespace nestor::embed
