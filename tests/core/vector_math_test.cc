#include "core/vector_math.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace nestor {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_row(std::size_t width, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(width);
  for (float& value : row) value = normal(generator);
  return row;
}

TEST_CASE("a product of rows agrees with a sum in long double at every width") {
  for (std::size_t width = 0; width <= 67; ++width) {
    const std::vector<float> a = random_row(width, 1);
    const std::vector<float> b = random_row(width, 2);
    long double expected = 0;
    for (std::size_t i = 0; i < width; ++i) expected += static_cast<long double>(a[i]) * b[i];
    CHECK(std::abs(dot(a, b) - static_cast<double>(expected)) <= 1e-13);
  }
}

TEST_CASE("a product does not lose what float would") {
  const std::vector<float> a = {1e8F, 1, -1e8F, 1, 1e8F, 1, -1e8F, 1};
  const std::vector<float> ones(8, 1.0F);
  CHECK(dot(a, ones) == 4);
  const std::vector<float> greatest(768, std::numeric_limits<float>::max());
  CHECK(std::isfinite(dot(greatest, greatest)));
}

TEST_CASE("a row is scaled to unit length, from the least to the greatest") {
  const float least = std::numeric_limits<float>::denorm_min();
  const float greatest = std::numeric_limits<float>::max();
  for (std::vector<float> row :
       {std::vector<float>{3, 4}, {least, 0, -least}, {greatest, greatest}, random_row(768, 3)}) {
    const float first_before = row[0];
    CHECK(normalize(row));
    CHECK(std::abs(dot(row, row) - 1) < 1e-6);
    CHECK((row[0] > 0) == (first_before > 0));
  }
  std::vector<float> row = {3, 4};
  CHECK(normalize(row));
  CHECK(row == std::vector<float>{0.6F, 0.8F});
}

TEST_CASE("a row without a direction is left as it is") {
  std::vector<float> zero = {0, -0.0F};
  CHECK_FALSE(normalize(zero));
  CHECK(std::signbit(zero[1]));
  std::vector<float> infinite = {1, kInfinity};
  CHECK_FALSE(normalize(infinite));
  CHECK(infinite == std::vector<float>{1, kInfinity});
  std::vector<float> none = {2, kNaN};
  CHECK_FALSE(normalize(none));
  CHECK(none[0] == 2);
  std::vector<float> empty;
  CHECK_FALSE(normalize(empty));
}

TEST_CASE("a cut row is the prefix with unit length; the row stays") {
  const std::vector<float> row = {3, 4, 12};
  CHECK(cut_to_width(row, 2) == std::vector<float>{0.6F, 0.8F});
  CHECK(cut_to_width(row, 0).empty());
  CHECK(row == std::vector<float>{3, 4, 12});
  const std::vector<float> whole = cut_to_width(row, 3);
  CHECK(std::abs(dot(whole, whole) - 1) < 1e-6);
  // Nothing in the prefix: it stays zero instead of becoming NaN.
  CHECK(cut_to_width(std::vector<float>{0, 0, 1}, 2) == std::vector<float>{0, 0});
}

TEST_CASE("infinities and NaN are seen wherever they stand") {
  CHECK(all_finite(std::vector<float>{}));
  CHECK(all_finite(std::vector<float>{0, 1e-45F, std::numeric_limits<float>::max()}));
  for (const float bad : {kInfinity, -kInfinity, kNaN}) {
    for (std::size_t place = 0; place < 9; ++place) {
      std::vector<float> row(9, 1.0F);
      row[place] = bad;
      CHECK_FALSE(all_finite(row));
    }
  }
}

}  // namespace
}  // namespace nestor
