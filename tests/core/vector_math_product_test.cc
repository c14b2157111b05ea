#include "core/vector_math_product.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace nestor {
namespace {

std::vector<float> random_floats(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// Rows lie further apart than they are long, and what is between them must stay as it was.
constexpr std::int64_t kGap = 3;

std::vector<float> product_of(ProductShape shape, const std::vector<float>& a,
                              const std::vector<float>& b, bool transposed) {
  const std::int64_t stride = shape.columns + kGap;
  std::vector<float> result(static_cast<std::size_t>(shape.rows * stride), 7.0F);
  if (transposed) {
    product_transposed(shape, 0.5F, {a.data(), shape.inner + kGap}, {b.data(), shape.inner + kGap},
                       {result.data(), stride});
  } else {
    product(shape, {a.data(), shape.inner + kGap}, {b.data(), shape.columns + kGap},
            {result.data(), stride});
  }
  return result;
}

void check_product(ProductShape shape, bool transposed) {
  CAPTURE(shape.rows);
  CAPTURE(shape.columns);
  CAPTURE(shape.inner);
  const std::int64_t b_stride = (transposed ? shape.inner : shape.columns) + kGap;
  const auto a = random_floats(shape.rows * (shape.inner + kGap), 1);
  const auto b = random_floats((transposed ? shape.columns : shape.inner) * b_stride, 2);
  const auto got = product_of(shape, a, b, transposed);
  double worst = 0;
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns + kGap; ++column) {
      const float value = got[static_cast<std::size_t>(row * (shape.columns + kGap) + column)];
      double expected = 7.0;
      double allowed = 0;
      if (column < shape.columns) {
        expected = 0;
        for (std::int64_t i = 0; i < shape.inner; ++i) {
          const double left = a[static_cast<std::size_t>(row * (shape.inner + kGap) + i)];
          const double right = b[static_cast<std::size_t>(transposed ? column * b_stride + i
                                                                     : i * b_stride + column)];
          expected += left * right;
          allowed += std::abs(left * right);
        }
        if (transposed) expected *= 0.5;
      }
      worst = std::max(worst, std::abs(value - expected) - 1e-6 * allowed);
    }
  }
  CHECK(worst <= 0);
}

TEST_CASE("products agree with sums in double, at every edge of tiles and vectors") {
  for (const bool transposed : {true, false}) {
    for (const std::int64_t rows : {1, 5, 6, 7, 13}) {
      for (const std::int64_t columns : {1, 3, 4, 31, 33, 70}) {
        for (const std::int64_t inner : {0, 1, 15, 16, 17, 100}) {
          check_product({.rows = rows, .columns = columns, .inner = inner}, transposed);
        }
      }
    }
    check_product({.rows = 30, .columns = 200, .inner = 768}, transposed);
    check_product({.rows = 0, .columns = 4, .inner = 4}, transposed);
  }
}

TEST_CASE("an element has the same bits alone as among many rows and columns") {
  const ProductShape shape{.rows = 29, .columns = 150, .inner = 100};
  const std::int64_t stride = shape.inner + kGap;
  const auto a = random_floats(shape.rows * stride, 3);
  const auto b = random_floats(shape.columns * stride, 4);
  const auto all = product_of(shape, a, b, true);
  int different = 0;
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      float alone = 0;
      product_transposed({.rows = 1, .columns = 1, .inner = shape.inner}, 0.5F,
                         {a.data() + row * stride, stride}, {b.data() + column * stride, stride},
                         {&alone, 1});
      different +=
          alone == all[static_cast<std::size_t>(row * (shape.columns + kGap) + column)] ? 0 : 1;
    }
  }
  CHECK(different == 0);
}

}  // namespace
}  // namespace nestor
