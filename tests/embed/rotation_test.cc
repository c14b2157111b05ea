#include "embed/rotation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "embed/backend_lanes_kernels.h"
#include "embed/backend_lanes_portable.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::random_floats;

double dot_of(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// What the kernels make of a row: H on the signed row, without its factor, then the thirds.
std::vector<float> run_rotation(std::vector<float> x, const RotationSteps& steps, bool with_signs) {
  for (std::size_t i = 0; with_signs && i < x.size(); ++i) {
    x[i] *= rotation_sign(static_cast<std::int64_t>(i));
  }
  const auto width = static_cast<std::int64_t>(x.size());
  std::vector<float> rotated(x.size());
  lanes::rotate_blocks<PortableLanes>(
      [&](std::int64_t i, int) { return PortableLanes::load(x.data() + i); }, width, steps.block,
      rotated.data());
  const float most = lanes::mix_thirds<PortableLanes>(rotated.data(), width, steps);
  float largest = 0;
  for (const float value : rotated) largest = std::max(largest, std::abs(value));
  CHECK(most == largest);
  return rotated;
}

TEST_CASE("steps are the largest power of two up to 256 that divides the width, then thirds") {
  const auto check = [](std::int64_t width, std::int64_t block, std::int64_t thirds) {
    const RotationSteps steps = rotation_steps(width);
    CAPTURE(width);
    CHECK(steps.block == block);
    CHECK(steps.thirds == thirds);
    CHECK(width % (steps.block * static_cast<std::int64_t>(std::pow(3, thirds))) == 0);
  };
  check(768, 256, 1);
  check(1152, 128, 2);
  check(48, 16, 1);
  check(32, 32, 0);
  check(256 * 27, 256, 2);
  check(80, 16, 0);
  check(24, 1, 0);
  CHECK(head_rotation_steps(3, 256).thirds == 1);
  CHECK(head_rotation_steps(4, 64).thirds == 0);
  CHECK(head_rotation_steps(3, 16).unit == 16);
}

TEST_CASE("rotated weights on a rotated row give the product they gave before") {
  for (const std::int64_t width : {16, 32, 48, 80, 144, 256, 768, 1152}) {
    CAPTURE(width);
    const std::vector<float> x = random_floats(width, 1);
    std::vector<float> weights = random_floats(width, 2);
    const double want = dot_of(x, weights);
    rotate_input_weights(weights);
    const double got = dot_of(run_rotation(x, rotation_steps(width), true), weights);
    CHECK(std::abs(got - want) <= 1e-5 * std::sqrt(static_cast<double>(width)));
  }
}

TEST_CASE("a rotation keeps lengths, but for the factor it leaves out") {
  for (const std::int64_t width : {16, 48, 768, 1152}) {
    const RotationSteps steps = rotation_steps(width);
    const std::vector<float> x = random_floats(width, 3);
    const std::vector<float> rotated = run_rotation(x, steps, true);
    const double ratio = dot_of(rotated, rotated) / dot_of(x, x) / static_cast<double>(steps.block);
    CHECK(std::abs(ratio - 1) <= 1e-5);
  }
}

TEST_CASE("one large channel is spread: no channel keeps more than half of it") {
  std::vector<float> x(768, 0.0F);
  x[5] = 1000.0F;
  const std::vector<float> rotated = run_rotation(x, rotation_steps(768), true);
  double most = 0;
  for (const float value : rotated) most = std::max(most, std::abs(static_cast<double>(value)));
  CHECK(most / std::sqrt(dot_of(rotated, rotated)) < 0.1);
}

TEST_CASE("heads that come out rotated go through the weights behind them as before") {
  const std::int64_t heads = 3, width = 32;
  std::vector<float> outputs = random_floats(heads * width, 4);
  std::vector<float> weights = random_floats(heads * width, 5);
  const double want = dot_of(outputs, weights);
  for (std::int64_t head = 0; head < heads; ++head) {
    rotate_head_weights(std::span(outputs).subspan(static_cast<std::size_t>(head * width),
                                                   static_cast<std::size_t>(width)));
  }
  const std::vector<float> input = run_rotation(outputs, head_rotation_steps(heads, width), false);
  rotate_after_heads(weights, width);
  CHECK(std::abs(dot_of(input, weights) - want) <= 1e-4);
}

TEST_CASE("the signs are the same for ever and of both kinds") {
  std::string first;
  int positive = 0;
  for (std::int64_t i = 0; i < 1152; ++i) {
    const float sign = rotation_sign(i);
    REQUIRE(std::abs(sign) == 1.0F);
    positive += sign > 0 ? 1 : 0;
    if (i < 32) first += sign > 0 ? '+' : '-';
  }
  CHECK(positive > 500);
  CHECK(positive < 652);
  // STORED: packed models have them in their weights.
  CHECK(first == "---+++-+--++--+-+-+-++----------");
}

}  // namespace
}  // namespace nestor::embed
