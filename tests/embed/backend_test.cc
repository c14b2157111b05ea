#include "embed/backend.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace nestor::embed {
namespace {

std::vector<float> random_floats(std::int64_t count, std::uint32_t seed, float scale = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

void check_close(const std::vector<float>& got, const std::vector<float>& want, double tolerance) {
  REQUIRE(got.size() == want.size());
  double largest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double allowed = 1.0 + std::abs(static_cast<double>(want[i]));
    largest = std::max(largest, std::abs(static_cast<double>(got[i]) - want[i]) / allowed);
  }
  CHECK(largest <= tolerance);
}

// Calls check(backend, name) for every backend but the definition.
template <typename Check>
void for_each_fast_backend(const Check& check) {
  for (const Backend* backend : available_backends()) {
    if (backend == &scalar_backend()) continue;
    CAPTURE(std::string(backend->name));
    check(*backend);
  }
}

TEST_CASE("a backend is chosen by name, and unknown names are refused with those there are") {
  CHECK(choose_backend("").value() == available_backends().front());
  CHECK(std::string(choose_backend("scalar").value()->name) == "scalar");
  CHECK(std::string(choose_backend("vector").value()->name) == "vector");
  const auto refused = choose_backend("amx-int8");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kUnsupported);
  for (const char* part : {"amx-int8", "vector", "scalar"}) {
    CHECK(refused.status().message().find(part) != std::string::npos);
  }
}

TEST_CASE("products agree with the definition within 1e-5") {
  const ProductShape shape{.rows = 13, .columns = 37, .inner = 67};
  const auto a = random_floats(shape.rows * 70, 1);
  const auto b = random_floats(shape.columns * shape.inner, 2);
  const auto product_of = [&](const Backend& backend, bool transposed) {
    std::vector<float> result(static_cast<std::size_t>(shape.rows * 40), -1.0F);
    if (transposed) {
      backend.product_transposed(shape, 0.5F, {a.data(), 70}, {b.data(), shape.inner},
                                 {result.data(), 40});
    } else {
      backend.product(shape, {a.data(), 70}, {b.data(), shape.columns}, {result.data(), 40});
    }
    return result;
  };
  for_each_fast_backend([&](const Backend& backend) {
    check_close(product_of(backend, true), product_of(scalar_backend(), true), 1e-5);
    check_close(product_of(backend, false), product_of(scalar_backend(), false), 1e-5);
  });
}

TEST_CASE("norms agree with the definition within 1e-6 at every width") {
  for (const std::int64_t width : {1, 3, 16, 31, 33, 768}) {
    const auto x = random_floats(3 * width, 3, 20.0F);
    const auto scale = random_floats(width, 4);
    const auto norm_of = [&](const Backend& backend, bool add) {
      std::vector<float> result(x.size(), 0.25F);
      (add ? backend.rms_norm_add : backend.rms_norm)(3, width, x.data(), scale.data(), 1e-6F,
                                                      result.data());
      return result;
    };
    for_each_fast_backend([&](const Backend& backend) {
      check_close(norm_of(backend, true), norm_of(scalar_backend(), true), 1e-6);
      check_close(norm_of(backend, false), norm_of(scalar_backend(), false), 1e-6);
    });
  }
}

TEST_CASE("rotation agrees with the definition within 1e-6 and keeps lengths") {
  for (const std::int64_t width : {2, 16, 24, 256}) {
    const auto head = random_floats(width, 5);
    const std::vector<float> ones(static_cast<std::size_t>(width), 1.0F);
    std::vector<float> cosine, sine;
    for (std::int64_t i = 0; i < width / 2; ++i) {
      cosine.push_back(std::cos(static_cast<float>(i)));
      sine.push_back(std::sin(static_cast<float>(i)));
    }
    const auto rotated = [&](const Backend& backend) {
      std::vector<float> result = head;
      backend.norm_rotate(width, result.data(), ones.data(), 1e-6F, cosine.data(), sine.data());
      return result;
    };
    const std::vector<float> want = rotated(scalar_backend());
    double squares = 0;
    for (const float value : want) squares += static_cast<double>(value) * value;
    CHECK(std::abs(squares / static_cast<double>(width) - 1) < 1e-4);
    for_each_fast_backend(
        [&](const Backend& backend) { check_close(rotated(backend), want, 1e-6); });
  }
}

TEST_CASE("softmax agrees with the definition within 1e-6, sums to 1 and is 0 outside its range") {
  const std::int64_t rows = 5, columns = 77;
  const std::vector<KeyRange> ranges = {{0, 77}, {3, 4}, {10, 26}, {0, 15}, {40, 77}};
  auto scores = random_floats(rows * columns, 6, 30.0F);
  scores[0] = 3000.0F;  // no overflow
  scores[1] = -3000.0F;
  const auto softmax_of = [&](const Backend& backend) {
    std::vector<float> result = scores;
    backend.softmax(rows, columns, ranges.data(), {result.data(), columns});
    return result;
  };
  const std::vector<float> want = softmax_of(scalar_backend());
  for_each_fast_backend([&](const Backend& backend) {
    const std::vector<float> got = softmax_of(backend);
    check_close(got, want, 1e-6);
    for (std::int64_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < columns; ++i) {
        const float value = got[static_cast<std::size_t>(row * columns + i)];
        const KeyRange range = ranges[static_cast<std::size_t>(row)];
        if (i < range.begin || i >= range.end) CHECK(value == 0.0F);
        sum += value;
      }
      CHECK(std::abs(sum - 1) < 1e-5);
    }
  });
}

TEST_CASE("GELU agrees with the definition within 1e-6, far from zero too") {
  const std::int64_t width = 1003;
  std::vector<float> gate_up(static_cast<std::size_t>(2 * width), 1.0F);
  for (std::int64_t i = 0; i < width; ++i) {
    gate_up[static_cast<std::size_t>(i)] = static_cast<float>(i - 501) * 0.04F;
  }
  gate_up[0] = -1000.0F;
  gate_up[1] = 1000.0F;
  gate_up[2] = 0.0F;
  const auto gelu_of = [&](const Backend& backend) {
    std::vector<float> result(static_cast<std::size_t>(width));
    backend.gelu_multiply(1, width, gate_up.data(), result.data());
    return result;
  };
  const std::vector<float> want = gelu_of(scalar_backend());
  CHECK(want[1] == 1000.0F);
  for_each_fast_backend([&](const Backend& backend) { check_close(gelu_of(backend), want, 1e-6); });
}

}  // namespace
}  // namespace nestor::embed
