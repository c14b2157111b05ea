#include "core/vector_math.h"

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/check.h"

namespace nestor {

double dot(std::span<const float> a, std::span<const float> b) {
  NESTOR_CHECK(a.size() == b.size(), "rows of different widths");
  // Four sums, so that additions need not wait for each other; the order is fixed.
  double sums[4] = {0, 0, 0, 0};
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      sums[lane] += static_cast<double>(a[i + lane]) * b[i + lane];
    }
  }
  for (; i < a.size(); ++i) sums[0] += static_cast<double>(a[i]) * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

bool normalize(std::span<float> row) {
  const double length = std::sqrt(dot(row, row));
  if (!(length > 0) || !std::isfinite(length)) return false;
  for (float& value : row) value = static_cast<float>(value / length);
  return true;
}

std::vector<float> cut_to_width(std::span<const float> row, int width) {
  NESTOR_CHECK(width >= 0 && static_cast<std::size_t>(width) <= row.size(), "wider than the row");
  std::vector<float> cut(row.begin(), row.begin() + width);
  normalize(cut);
  return cut;
}

bool all_finite(std::span<const float> row) {
  // No way out of the loop, so that the compiler takes many at once. Values that are not finite are
  // those with all bits of the exponent.
  constexpr std::uint32_t kExponent = 0x7F80'0000;
  std::uint32_t found = 0;
  for (const float value : row) {
    found |=
        static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent);
  }
  return found == 0;
}

}  // namespace nestor
