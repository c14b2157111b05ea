#include "embed/rotation.h"

#include <cmath>
#include <vector>

namespace nestor::embed {
namespace {

constexpr std::int64_t kMostBlock = 256;
constexpr std::int64_t kLeastBlock = 16;
constexpr std::int64_t kMostThirds = 2;

std::int64_t count_thirds(std::int64_t units) {
  std::int64_t thirds = 0;
  for (; thirds < kMostThirds && units % 3 == 0; units /= 3) ++thirds;
  return thirds;
}

// One stage of a Hadamard transform, in place: each channel and the one `half` further on, there in
// the lane `lanes` across (exclusive or), become their sum and their difference.
void mix_pairs(std::span<double> x, std::size_t half, std::size_t lanes) {
  const std::vector<double> before(x.begin(), x.end());
  for (std::size_t i = 0; i < x.size(); ++i) {
    if ((i & half) != 0) continue;
    const double a = before[i];
    const double b = before[(i + half) ^ lanes];
    x[i] = a + b;
    x[i + half] = a - b;
  }
}

// In place, without a factor; size a power of two from kLeastBlock. What backends do, vector by
// vector: backend_lanes_math.h, hadamard.
void hadamard(std::span<double> x) {
  constexpr std::size_t kVector = kLanes;
  std::size_t pairings = 0;
  for (std::size_t half = kVector; half < x.size(); half *= 2, ++pairings) mix_pairs(x, half, 0);
  for (std::size_t stage = 0; (std::size_t{1} << stage) < kVector; ++stage) {
    const std::size_t lanes = std::size_t{1} << stage;
    pairings == 0 ? mix_pairs(x, lanes, 0) : mix_pairs(x, kVector << stage % pairings, lanes);
  }
}

// x = T H S x * factor. H times its transpose is n, so a row of weights takes the same over n.
void rotate(std::span<float> row, const RotationSteps& steps, bool orthonormal) {
  std::vector<double> x(row.size());
  const auto block = static_cast<double>(steps.block);
  const double factor = orthonormal ? 1.0 / std::sqrt(block) : 1.0 / block;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float sign = steps.block > 1 ? rotation_sign(static_cast<std::int64_t>(i)) : 1.0F;
    x[i] = static_cast<double>(row[i]) * static_cast<double>(sign) * factor;
  }
  const auto size = static_cast<std::size_t>(steps.block);
  for (std::size_t at = 0; size > 1 && at < x.size(); at += size) {
    hadamard(std::span(x).subspan(at, size));
  }
  auto unit = static_cast<std::size_t>(steps.unit);
  for (std::int64_t stage = 0; stage < steps.thirds; ++stage, unit *= 3) {
    for (std::size_t at = 0; at < x.size(); ++at) {
      if (at / unit % 3 != 0) continue;
      const double mean = (x[at] + x[at + unit] + x[at + 2 * unit]) * (2.0 / 3.0);
      for (std::size_t third = 0; third < 3; ++third) x[at + third * unit] -= mean;
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) row[i] = static_cast<float>(x[i]);
}

}  // namespace

RotationSteps rotation_steps(std::int64_t width) {
  for (std::int64_t block = kMostBlock; block >= kLeastBlock; block /= 2) {
    if (width % block == 0) {
      return {.block = block, .unit = block, .thirds = count_thirds(width / block)};
    }
  }
  return {};
}

RotationSteps head_rotation_steps(std::int64_t head_count, std::int64_t head_width) {
  return {.block = 1, .unit = head_width, .thirds = count_thirds(head_count)};
}

float rotation_sign(std::int64_t channel) {
  // The finaliser of SplitMix64; its top bit.
  auto bits = static_cast<std::uint64_t>(channel) + 0x9E3779B97F4A7C15ULL;
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBULL;
  return ((bits ^ (bits >> 31)) >> 63) == 0 ? 1.0F : -1.0F;
}

void rotate_input_weights(std::span<float> row) {
  rotate(row, rotation_steps(static_cast<std::int64_t>(row.size())), false);
}

void rotate_head_weights(std::span<float> column) {
  RotationSteps steps = rotation_steps(static_cast<std::int64_t>(column.size()));
  steps.thirds = 0;
  rotate(column, steps, true);
}

void rotate_after_heads(std::span<float> row, std::int64_t head_width) {
  const auto width = static_cast<std::size_t>(head_width);
  for (std::size_t at = 0; at < row.size(); at += width) {
    rotate_head_weights(row.subspan(at, width));
  }
  rotate(row, head_rotation_steps(static_cast<std::int64_t>(row.size() / width), head_width),
         false);
}

}  // namespace nestor::embed
