#include "embed/rotary.h"

#include <cmath>

namespace nestor::embed {

// Angles are rounded to float at each step, as the reference does: at position 2,047 that is worth
// 1e-4 of an angle.
Rotary make_rotary(std::int64_t positions, std::int64_t head_width, double base) {
  const std::int64_t half = head_width / 2;
  const auto count = static_cast<std::size_t>(positions * half);
  Rotary rotary{std::vector<float>(count), std::vector<float>(count)};
  for (std::int64_t i = 0; i < half; ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(head_width);
    const auto frequency = static_cast<float>(1.0 / std::pow(base, exponent));
    for (std::int64_t position = 0; position < positions; ++position) {
      const float angle = static_cast<float>(position) * frequency;
      const auto at = static_cast<std::size_t>(position * half + i);
      rotary.cosine[at] = std::cos(angle);
      rotary.sine[at] = std::sin(angle);
    }
  }
  return rotary;
}

}  // namespace nestor::embed
