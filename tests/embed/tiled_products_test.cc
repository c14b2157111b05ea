// The products of every tiled backend of this machine against the scalar one: int8 bit for bit,
// bf16 within 4e-6 of the sum of the magnitudes of what is added up.
#include <doctest/doctest.h>

#include <cmath>

#include "embed/tiled_backend.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::aligned;
using testing::for_each_backend;
using testing::random_floats;
using testing::round_up;
using testing::same_bits;
using testing::SampleHalves;
using testing::SampleMatrix;
using testing::SampleRows;

constexpr std::uint16_t kUntouchedHalf = 0x1234;

struct Panels {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// A product's result, and what the kernel must leave alone.
SampleHalves product_of(const TiledBackend& backend, const SampleMatrix& matrix,
                        const std::vector<float>& x, std::int64_t rows, bool fine, bool gelu,
                        Panels panels) {
  SampleRows a(backend, rows, matrix.layout().inner, fine, x);
  const std::int64_t columns = gelu ? matrix.layout().columns / 2 : matrix.layout().columns;
  SampleHalves result(gelu ? HalfOrder::kPlain : HalfOrder::kPairs, rows, columns, kUntouchedHalf);
  (gelu ? backend.linear_gelu : backend.linear)({.rows = rows,
                                                 .a = a.view(),
                                                 .b = matrix.view(),
                                                 .panel_begin = panels.begin,
                                                 .panel_end = panels.end,
                                                 .result = result.view()});
  return result;
}

TEST_CASE("int8 products have the bits of the definition: any rows, fine ones, a cut last panel") {
  for (const std::int64_t inner : {48, 64, 192}) {
    for (const bool gelu : {false, true}) {
      const SampleMatrix matrix(Precision::kInt8, 112, inner, 1, !gelu);
      for (const std::int64_t rows : {1, 2, 5, 16, 17, 31, 32, 33, 70}) {
        const auto x = random_floats(rows * inner, 2);
        for (const bool fine : {false, true}) {
          if (gelu && rows > 33) continue;
          CAPTURE(inner);
          CAPTURE(rows);
          CAPTURE(fine);
          CAPTURE(gelu);
          const Panels all = {0, gelu ? 3 : 4};
          for_each_backend(Precision::kInt8,
                           [&](const TiledBackend& backend, const TiledBackend& scalar) {
                             CHECK(product_of(backend, matrix, x, rows, fine, gelu, all).memory() ==
                                   product_of(scalar, matrix, x, rows, fine, gelu, all).memory());
                           });
        }
      }
    }
  }
}

TEST_CASE("a part of the panels writes its own columns and leaves the others alone") {
  const std::int64_t rows = 19;
  const SampleMatrix matrix(Precision::kInt8, 144, 128, 3);
  const auto x = random_floats(rows * 128, 4);
  for_each_backend(Precision::kInt8, [&](const TiledBackend& backend, const TiledBackend&) {
    SampleHalves whole = product_of(backend, matrix, x, rows, false, false, {0, 5});
    const auto untouched =
        std::count(whole.view().data, whole.view().data + whole.memory().size(), kUntouchedHalf);
    for (const Panels& part :
         {Panels{0, 1}, Panels{1, 2}, Panels{1, 4}, Panels{4, 5}, Panels{2, 2}}) {
      SampleHalves got = product_of(backend, matrix, x, rows, false, false, part);
      int wrong = 0;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = 0; column < 160; ++column) {
          const bool inside = column >= part.begin * 32 && column < part.end * 32;
          wrong += got.at(row, column) == (inside ? whole.at(row, column) : kUntouchedHalf) ? 0 : 1;
        }
      }
      CHECK(wrong == 0);
      // Between and behind the rows nothing is written either.
      const std::int64_t written = rows * (part.end - part.begin) * 32;
      CHECK(std::count(got.view().data, got.view().data + got.memory().size(), kUntouchedHalf) ==
            untouched + rows * 160 - written);
    }
  });
}

TEST_CASE("the largest int8 values neither saturate nor overflow in any backend") {
  const std::int64_t inner = 1152;
  for (const float sign : {1.0F, -1.0F}) {
    const SampleMatrix matrix(Precision::kInt8, 32, inner,
                              std::vector<float>(static_cast<std::size_t>(32 * inner), sign),
                              std::vector<float>(32, 0.0F));
    const std::vector<float> x(static_cast<std::size_t>(3 * inner), -2.0F);
    for_each_backend(Precision::kInt8, [&](const TiledBackend& backend,
                                           const TiledBackend& scalar) {
      SampleHalves got = product_of(backend, matrix, x, 3, false, false, {0, 1});
      CHECK(from_bf16(got.at(0, 0)) == doctest::Approx(-2.0 * sign * static_cast<double>(inner)));
      CHECK(got.memory() == product_of(scalar, matrix, x, 3, false, false, {0, 1}).memory());
    });
  }
}

TEST_CASE("bf16 products agree with the definition within 4e-6 of what is added up") {
  const std::int64_t inner = 96;
  for (const std::int64_t rows : {1, 16, 33}) {
    const auto x = random_floats(rows * inner, 6);
    for_each_backend(Precision::kBf16, [&](const TiledBackend& backend,
                                           const TiledBackend& scalar) {
      for (const bool gelu : {false, true}) {
        const SampleMatrix matrix(Precision::kBf16, 112, inner, 5, !gelu);
        const Panels all = {0, gelu ? 3 : 4};
        const auto got = product_of(backend, matrix, x, rows, false, gelu, all).values();
        const auto want = product_of(scalar, matrix, x, rows, false, gelu, all).values();
        double worst = 0;
        for (std::size_t i = 0; i < got.size(); ++i) {
          const double off = std::abs(static_cast<double>(from_bf16(got[i])) - from_bf16(want[i]));
          // One step of the bfloat16 that the result is rounded to, or what the sums differ by.
          worst = std::max(worst, off - std::abs(from_bf16(want[i])) * 0x1p-7);
        }
        // About 96 products of magnitude 0.64; through GELU another factor of that
        // size.
        CHECK(worst <= 4e-6 * 96 * 0.64 * (gelu ? 30 : 1));
      }
    });
  }
}

// Attention's products of random tiles by panels that lie apart: scores, or values in pairs.
class AttentionSample {
 public:
  AttentionSample(std::int64_t rows, std::int64_t panel_count, std::int64_t steps)
      : a_(halves(round_up(rows, 32) * steps * 32, 7)),
        panels_(halves(panel_count * (steps + 1) * kPanelStepBytes / 2, 8)),
        factors_(random_floats(rows, 9)) {
    task_ = {.rows = rows,
             .a = a_.data(),
             .panels = panels_.data(),
             .panel_stride = (steps + 1) * kPanelStepBytes,
             .panel_count = panel_count,
             .steps = steps};
  }

  [[nodiscard]] std::vector<float> scores(const TiledBackend& backend) const {
    auto result = aligned<float>(round_up(task_.rows, kRowBlock) / kRowBlock * task_.panel_count *
                                 kBlockValues);
    backend.scores({.product = task_, .result = result.data()});
    std::vector<float> values;
    for (std::int64_t row = 0; row < task_.rows; ++row) {
      for (std::int64_t column = 0; column < task_.panel_count * 32; ++column) {
        const std::int64_t block = row / kRowBlock * task_.panel_count + column / 32;
        values.push_back(result.data()[block * kBlockValues + row % kRowBlock * 32 + column % 32]);
      }
    }
    return values;
  }
  // Rows go to where rows of a text go that does not begin at a block.
  [[nodiscard]] std::vector<std::uint16_t> values(const TiledBackend& backend) const {
    const SampleHalves result(HalfOrder::kPairs, task_.rows + 13, task_.panel_count * 32,
                              kUntouchedHalf);
    std::vector<std::int64_t> places;
    for (std::int64_t row = 0; row < task_.rows; ++row) {
      places.push_back(half_offset(HalfOrder::kPairs, row + 13));
    }
    backend.weighted_values({.product = task_,
                             .factors = factors_.data(),
                             .places = places.data(),
                             .result = result.view()});
    return result.memory();
  }

 private:
  static AlignedBuffer<std::uint8_t> halves(std::int64_t count, std::uint32_t seed) {
    auto buffer = aligned<std::uint8_t>(2 * count);
    const auto x = random_floats(count, seed);
    for (std::size_t i = 0; i < x.size(); ++i) {
      reinterpret_cast<std::uint16_t*>(buffer.data())[i] = to_bf16(x[i]);
    }
    return buffer;
  }

  AlignedBuffer<std::uint8_t> a_;
  AlignedBuffer<std::uint8_t> panels_;
  std::vector<float> factors_;
  Bf16Task task_;
};

TEST_CASE("attention's products have the bits of the definition in the int8 tables") {
  for (const std::int64_t rows : {1, 3, 31, 32, 33, 96}) {
    for (const std::int64_t panels : {1, 2, 3, 8}) {
      for (const std::int64_t steps : {1, 2, 8}) {
        CAPTURE(rows);
        CAPTURE(panels);
        CAPTURE(steps);
        const AttentionSample sample(rows, panels, steps);
        for_each_backend(Precision::kInt8,
                         [&](const TiledBackend& backend, const TiledBackend& scalar) {
                           CHECK(same_bits(sample.scores(backend), sample.scores(scalar)));
                           CHECK(sample.values(backend) == sample.values(scalar));
                         });
      }
    }
  }
}

TEST_CASE("attention's products in the bf16 tables are within 4e-6 of what is added up") {
  for_each_backend(Precision::kBf16, [&](const TiledBackend& backend, const TiledBackend& scalar) {
    const AttentionSample sample(33, 2, 8);
    const auto got = sample.scores(backend);
    const auto want = sample.scores(scalar);
    for (std::size_t i = 0; i < got.size(); ++i) {
      REQUIRE(std::abs(got[i] - want[i]) <= 4e-6 * 256 * 0.64);
    }
  });
}

}  // namespace
}  // namespace nestor::embed
