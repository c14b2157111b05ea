// Every tiled backend of this machine against the scalar one: int8 bit for bit, bf16 within 4e-6 of
// the sum of the magnitudes of what is added up (products) or one step of a bfloat16 (halves).
#include "embed/tiled_backend.h"

#include <doctest/doctest.h>

#include <cmath>

#include "embed/rotation.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::aligned;
using testing::aligned_copy;
using testing::aligned_halves;
using testing::random_floats;
using testing::round_up;
using testing::same_bits;
using testing::SampleMatrix;
using testing::SampleRows;

constexpr float kUntouched = -7777.0F;
constexpr std::uint16_t kUntouchedHalf = 0x1234;

// Calls check(backend, scalar) for every backend of the precision but the definition.
template <typename Check>
void for_each_backend(Precision precision, const Check& check) {
  for (const TiledBackend* backend : available_tiled_backends(precision)) {
    CAPTURE(std::string(backend->name));
    check(*backend, *scalar_tables(precision));
  }
}

struct Panels {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

// The whole result, with what the kernel must leave alone.
std::vector<std::uint16_t> product_of(const TiledBackend& backend, const SampleMatrix& matrix,
                                      const std::vector<float>& x, std::int64_t rows, bool fine,
                                      bool gelu, Panels panels) {
  SampleRows a(backend, rows, matrix.layout().inner, fine, x);
  const std::int64_t columns = gelu ? matrix.layout().columns / 2 : matrix.layout().columns;
  std::vector<std::uint16_t> result(static_cast<std::size_t>((rows + 1) * columns), kUntouchedHalf);
  (gelu ? backend.linear_gelu : backend.linear)({.rows = rows,
                                                 .a = a.view(),
                                                 .b = matrix.view(),
                                                 .panel_begin = panels.begin,
                                                 .panel_end = panels.end,
                                                 .result = result.data(),
                                                 .result_stride = columns,
                                                 .result_columns = columns});
  return result;
}

TEST_CASE("int8 products have the bits of the definition: any rows, fine ones, a cut last panel") {
  for (const std::int64_t inner : {48, 64, 192}) {
    const SampleMatrix matrix(Precision::kInt8, 112, inner, 1);
    for (const std::int64_t rows : {1, 2, 5, 16, 17, 31, 32, 33, 70}) {
      const auto x = random_floats(rows * inner, 2);
      for (const bool fine : {false, true}) {
        for (const bool gelu : {false, true}) {
          if (gelu && rows > 33) continue;
          CAPTURE(inner);
          CAPTURE(rows);
          CAPTURE(fine);
          CAPTURE(gelu);
          const Panels all = {0, gelu ? 3 : 4};
          for_each_backend(Precision::kInt8,
                           [&](const TiledBackend& backend, const TiledBackend& scalar) {
                             CHECK(same_bits(product_of(backend, matrix, x, rows, fine, gelu, all),
                                             product_of(scalar, matrix, x, rows, fine, gelu, all)));
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
    const auto whole = product_of(backend, matrix, x, rows, false, false, {0, 5});
    for (const Panels& part :
         {Panels{0, 1}, Panels{1, 2}, Panels{1, 4}, Panels{4, 5}, Panels{2, 2}}) {
      const auto got = product_of(backend, matrix, x, rows, false, false, part);
      int wrong = 0;
      for (std::size_t i = 0; i < got.size(); ++i) {
        const auto column = static_cast<std::int64_t>(i % 144);
        const bool inside = static_cast<std::int64_t>(i / 144) < rows &&
                            column >= part.begin * 32 && column < part.end * 32;
        wrong += got[i] == (inside ? whole[i] : kUntouchedHalf) ? 0 : 1;
      }
      CHECK(wrong == 0);
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
    for_each_backend(
        Precision::kInt8, [&](const TiledBackend& backend, const TiledBackend& scalar) {
          const auto got = product_of(backend, matrix, x, 3, false, false, {0, 1});
          CHECK(from_bf16(got[0]) == doctest::Approx(-2.0 * sign * static_cast<double>(inner)));
          CHECK(same_bits(got, product_of(scalar, matrix, x, 3, false, false, {0, 1})));
        });
  }
}

TEST_CASE("bf16 products agree with the definition within 4e-6 of what is added up") {
  const std::int64_t inner = 96;
  const SampleMatrix matrix(Precision::kBf16, 112, inner, 5);
  for (const std::int64_t rows : {1, 16, 33}) {
    const auto x = random_floats(rows * inner, 6);
    for_each_backend(Precision::kBf16, [&](const TiledBackend& backend,
                                           const TiledBackend& scalar) {
      for (const bool gelu : {false, true}) {
        const Panels all = {0, gelu ? 3 : 4};
        const auto got = product_of(backend, matrix, x, rows, false, gelu, all);
        const auto want = product_of(scalar, matrix, x, rows, false, gelu, all);
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

// Attention's product: rows(rows, steps * 32) by panels that lie apart.
std::vector<float> attention_product(const TiledBackend& backend, std::int64_t rows,
                                     std::int64_t columns, std::int64_t steps) {
  const std::int64_t width = steps * 32;
  const std::int64_t stride = width + 32;
  const std::int64_t panel_count = round_up(columns, 32) / 32;
  const std::int64_t panel_stride = (steps + 1) * kPanelStepBytes;
  const auto x = random_floats(round_up(rows, 32) * stride, 7);
  auto a = aligned<std::uint16_t>(round_up(rows, 32) * stride);
  for (std::size_t i = 0; i < x.size(); ++i) a.data()[i] = to_bf16(x[i]);
  auto panels = aligned<std::uint8_t>(panel_count * panel_stride);
  const auto b = random_floats(panel_count * panel_stride / 2, 8);
  for (std::size_t i = 0; i < b.size(); ++i) {
    reinterpret_cast<std::uint16_t*>(panels.data())[i] = to_bf16(b[i]);
  }
  std::vector<float> result(static_cast<std::size_t>((rows + 1) * columns), kUntouched);
  backend.bf16_product({.rows = rows,
                        .a = a.data(),
                        .a_stride = stride,
                        .panels = panels.data(),
                        .panel_stride = panel_stride,
                        .panel_count = panel_count,
                        .steps = steps,
                        .result = result.data(),
                        .result_stride = columns,
                        .result_columns = columns});
  return result;
}

TEST_CASE("attention's products have the bits of the definition in the int8 tables") {
  for (const std::int64_t rows : {1, 3, 31, 32, 33, 96}) {
    for (const std::int64_t columns : {16, 32, 48, 96, 256}) {
      for (const std::int64_t steps : {1, 2, 8}) {
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(steps);
        for_each_backend(Precision::kInt8,
                         [&](const TiledBackend& backend, const TiledBackend& scalar) {
                           CHECK(same_bits(attention_product(backend, rows, columns, steps),
                                           attention_product(scalar, rows, columns, steps)));
                         });
      }
    }
  }
}

TEST_CASE("attention's products in the bf16 tables are within 4e-6 of what is added up") {
  for_each_backend(Precision::kBf16, [&](const TiledBackend& backend, const TiledBackend& scalar) {
    const auto got = attention_product(backend, 33, 48, 8);
    const auto want = attention_product(scalar, 33, 48, 8);
    for (std::size_t i = 0; i < got.size(); ++i) {
      REQUIRE(std::abs(got[i] - want[i]) <= 4e-6 * 256 * 0.64);
    }
  });
}

// Stream and input rows after a norm, the bytes without the backend's bias.
struct Normed {
  std::vector<float> stream;
  std::vector<std::uint8_t> bytes;
  std::vector<float> scales;
};

struct NormCase {
  std::int64_t width = 0;
  bool branch = false;
  bool pre = false;
  bool fine = false;
  bool rotated = false;
};

// Where a member of a team begins: in the middle of a tile.
constexpr std::int64_t kFirstRow = 13;

// Takes the backend's bias off the rows that were written.
void remove_bias(const TiledBackend& backend, std::int64_t rows, std::int64_t first,
                 std::int64_t steps, std::vector<std::uint8_t>& bytes) {
  for (std::int64_t row = first; row < first + rows; ++row) {
    for (std::int64_t at = 0; at < steps * kStepBytes; ++at) {
      bytes[static_cast<std::size_t>(input_offset(row, at, steps))] ^= backend.input_bias;
    }
  }
}

Normed norm_of(const TiledBackend& backend, const NormCase& one) {
  const std::int64_t rows = 5;
  const std::int64_t step = backend.precision == Precision::kInt8 ? 64 : 32;
  const std::int64_t steps = round_up(one.width, step) / step;
  auto stream = aligned_copy(random_floats(rows * one.width, 9, 20));
  const auto branch = aligned_halves(random_floats(rows * one.width, 10, 3));
  const auto post = aligned_copy(random_floats(one.width, 11));
  const auto pre = aligned_copy(random_floats(one.width, 12));
  auto bytes = aligned<std::uint8_t>(64 * steps * kStepBytes);
  auto scratch = aligned<float>(one.width);
  Normed result;
  result.scales.assign(64, kUntouched);
  backend.norm({.rows = rows,
                .width = one.width,
                .epsilon = 1e-6F,
                .stream = stream.data(),
                .branch = one.branch ? branch.data() : nullptr,
                .post_scale = one.branch ? post.data() : nullptr,
                .pre_scale = one.pre ? pre.data() : nullptr,
                .rotation = one.rotated ? rotation_steps(one.width) : RotationSteps(),
                .first_row = kFirstRow,
                .out = {bytes.data(), result.scales.data(), one.fine},
                .out_steps = steps,
                .scratch = scratch.data()});
  result.stream.assign(stream.data(), stream.data() + rows * one.width);
  result.bytes.assign(bytes.data(), bytes.data() + 64 * steps * kStepBytes);
  remove_bias(backend, one.pre ? rows * (one.fine ? 2 : 1) : 0, kFirstRow * (one.fine ? 2 : 1),
              steps, result.bytes);
  return result;
}

TEST_CASE("norms have the bits of the definition with and without branch, rotation, fine rows") {
  for (const std::int64_t width : {16, 48, 64, 80, 256, 768, 1152}) {
    for (int bits = 0; bits < 16; ++bits) {
      const NormCase one = {width, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0,
                            (bits & 8) != 0};
      CAPTURE(width);
      CAPTURE(bits);
      for_each_backend(Precision::kInt8,
                       [&](const TiledBackend& backend, const TiledBackend& scalar) {
                         const Normed got = norm_of(backend, one);
                         const Normed want = norm_of(scalar, one);
                         CHECK(same_bits(got.stream, want.stream));
                         CHECK(got.bytes == want.bytes);
                         CHECK(same_bits(got.scales, want.scales));
                       });
    }
  }
}

float half_at(const std::vector<std::uint8_t>& bytes, std::size_t at) {
  return from_bf16(static_cast<std::uint16_t>(bytes[at] | bytes[at + 1] << 8));
}

TEST_CASE("the bf16 tables norm as the definition does, to a step of a bfloat16") {
  for_each_backend(Precision::kBf16, [&](const TiledBackend& backend, const TiledBackend& scalar) {
    const Normed got = norm_of(backend, {.width = 80, .branch = true, .pre = true});
    const Normed want = norm_of(scalar, {.width = 80, .branch = true, .pre = true});
    CHECK(same_bits(got.stream, want.stream));
    for (std::size_t i = 0; i < got.bytes.size(); i += 2) {
      REQUIRE(std::abs(half_at(got.bytes, i) - half_at(want.bytes, i)) <=
              std::abs(half_at(want.bytes, i)) * 0x1p-7F);
    }
  });
}

TEST_CASE("input rows have the bits of the definition, at every rotation and for rows of zeros") {
  struct Case {
    std::int64_t width;
    RotationSteps steps;
  };
  for (const Case& one :
       {Case{48, rotation_steps(48)}, Case{80, rotation_steps(80)}, Case{96, rotation_steps(96)},
        Case{128, rotation_steps(128)}, Case{768, rotation_steps(768)},
        Case{1152, rotation_steps(1152)}, Case{48, head_rotation_steps(3, 16)},
        Case{768, head_rotation_steps(3, 256)}}) {
    const std::int64_t rows = 7;
    std::vector<float> x = random_floats(rows * one.width, 13);
    std::fill_n(x.begin() + one.width, one.width, 0.0F);
    for (const bool fine : {false, true}) {
      CAPTURE(one.width);
      CAPTURE(fine);
      const auto make = [&](const TiledBackend& backend) {
        const std::int64_t steps = round_up(one.width, 64) / 64;
        const auto halves = aligned_halves(x);
        auto scratch = aligned<float>(one.width);
        auto bytes = aligned<std::uint8_t>(64 * steps * kStepBytes);
        Normed result;
        result.scales.assign(32, kUntouched);
        backend.make_input({.rows = rows,
                            .width = one.width,
                            .x = halves.data(),
                            .rotation = one.steps,
                            .first_row = kFirstRow,
                            .out = {bytes.data(), result.scales.data(), fine},
                            .out_steps = steps,
                            .scratch = scratch.data()});
        result.bytes.assign(bytes.data(), bytes.data() + 64 * steps * kStepBytes);
        remove_bias(backend, rows * (fine ? 2 : 1), kFirstRow * (fine ? 2 : 1), steps,
                    result.bytes);
        return result;
      };
      for_each_backend(Precision::kInt8,
                       [&](const TiledBackend& backend, const TiledBackend& scalar) {
                         const Normed got = make(backend);
                         const Normed want = make(scalar);
                         CHECK(got.bytes == want.bytes);
                         CHECK(same_bits(got.scales, want.scales));
                       });
    }
  }
}

// Queries, keys and values of `tokens` tokens at `position` of a text of 64.
std::vector<std::uint8_t> heads_of(const TiledBackend& backend, std::int64_t tokens,
                                   std::int64_t position, std::int64_t head_width) {
  const std::int64_t heads = 3;
  const std::int64_t head_steps = round_up(head_width, 32) / 32;
  const std::int64_t stride = (heads + 2) * head_width;
  const auto joint = aligned_halves(random_floats(tokens * stride, 14));
  const auto query_scale = aligned_copy(random_floats(head_width, 15));
  const auto key_scale = aligned_copy(random_floats(head_width, 16));
  const auto cosine = aligned_copy(random_floats(64 * head_width / 2, 17, 0.7F));
  const auto sine = aligned_copy(random_floats(64 * head_width / 2, 18, 0.7F));
  const std::int64_t query_count = tokens * heads * head_steps * 32;
  auto queries = aligned<std::uint16_t>(query_count + 32 * head_steps * 32);
  const std::int64_t panel_bytes = 2 * head_steps * kPanelStepBytes;
  auto keys = aligned<std::uint8_t>(panel_bytes);
  auto values = aligned<std::uint8_t>(panel_bytes);
  std::memset(keys.data(), 0x11, static_cast<std::size_t>(panel_bytes));
  std::memset(values.data(), 0x11, static_cast<std::size_t>(panel_bytes));
  auto scratch = aligned<float>(head_steps * 32);
  backend.make_heads({.tokens = tokens,
                      .position = position,
                      .head_count = heads,
                      .head_width = head_width,
                      .head_steps = head_steps,
                      .epsilon = 1e-6F,
                      .joint = joint.data(),
                      .joint_stride = stride,
                      .query_scale = query_scale.data(),
                      .key_scale = key_scale.data(),
                      .cosine = cosine.data(),
                      .sine = sine.data(),
                      .queries = queries.data(),
                      .keys = keys.data(),
                      .values = values.data(),
                      .key_steps = 2,
                      .scratch = scratch.data()});
  const auto* query_bytes = reinterpret_cast<const std::uint8_t*>(queries.data());
  std::vector<std::uint8_t> result(query_bytes, query_bytes + 2 * query_count);
  result.insert(result.end(), keys.data(), keys.data() + panel_bytes);
  result.insert(result.end(), values.data(), values.data() + panel_bytes);
  return result;
}

TEST_CASE("heads have the bits of the definition for blocks of any length and widths from 16") {
  for (const std::int64_t head_width : {16, 32, 48, 64, 256}) {
    for (const std::int64_t tokens : {1, 2, 15, 31, 32}) {
      for (const std::int64_t position : {0, 32}) {
        CAPTURE(head_width);
        CAPTURE(tokens);
        CAPTURE(position);
        for_each_backend(Precision::kInt8,
                         [&](const TiledBackend& backend, const TiledBackend& scalar) {
                           CHECK(heads_of(backend, tokens, position, head_width) ==
                                 heads_of(scalar, tokens, position, head_width));
                         });
      }
    }
  }
}

TEST_CASE("softmax has the bits of the definition over any range, also of far numbers") {
  const std::int64_t columns = 96;
  const std::vector<std::int32_t> begins = {0, 3, 10, 0, 40, 16, 95, 31};
  const std::vector<std::int32_t> ends = {96, 4, 26, 15, 96, 32, 96, 33};
  const auto rows = static_cast<std::int64_t>(begins.size());
  std::vector<float> scores = random_floats(rows * columns, 19, 30);
  scores[0] = 3000.0F;
  scores[1] = -3000.0F;
  const auto softmax_of = [&](const TiledBackend& backend) {
    auto x = aligned_copy(scores);
    std::vector<float> inverse(static_cast<std::size_t>(rows));
    backend.softmax({.rows = rows,
                     .columns = columns,
                     .scores = x.data(),
                     .stride = columns,
                     .begins = begins.data(),
                     .ends = ends.data(),
                     .inverse_sums = inverse.data()});
    std::vector<std::uint16_t> halves;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto* from = reinterpret_cast<const std::uint16_t*>(x.data() + row * columns);
      halves.insert(halves.end(), from, from + columns);
    }
    for (const float value : inverse) {
      std::uint16_t bits[2];
      std::memcpy(bits, &value, sizeof bits);
      halves.insert(halves.end(), bits, bits + 2);
    }
    return halves;
  };
  for_each_backend(Precision::kInt8, [&](const TiledBackend& backend, const TiledBackend& scalar) {
    CHECK(softmax_of(backend) == softmax_of(scalar));
  });
}

TEST_CASE("scaled rows, sums of norms and the head have the bits of the definition") {
  const std::int64_t rows = 5;
  for (const std::int64_t width : {16, 48, 80, 768}) {
    const auto x = aligned_copy(random_floats(rows * width, 20));
    const auto scale = aligned_copy(random_floats(width, 21));
    const auto weight = aligned_copy(random_floats(width * 208, 22));
    const std::vector<float> factors = random_floats(rows, 23);
    const auto all_of = [&](const TiledBackend& backend) {
      std::vector<std::uint16_t> scaled(static_cast<std::size_t>(rows * width));
      backend.scale_rows(rows, width, x.data(), factors.data(), scaled.data());
      std::vector<float> result(scaled.begin(), scaled.end());
      std::vector<float> sum(static_cast<std::size_t>(width), 0.5F);
      backend.norm_sum(rows, width, x.data(), scale.data(), 1e-6F, sum.data());
      result.insert(result.end(), sum.begin(), sum.end());
      std::vector<float> y(208);
      backend.transform(width, 208, x.data(), weight.data(), y.data());
      result.insert(result.end(), y.begin(), y.end());
      return result;
    };
    for_each_backend(Precision::kInt8,
                     [&](const TiledBackend& backend, const TiledBackend& scalar) {
                       CHECK(same_bits(all_of(backend), all_of(scalar)));
                     });
  }
}

TEST_CASE("a tiled backend is chosen by name, and what is not there is refused with what is") {
  for (const Precision precision : {Precision::kInt8, Precision::kBf16}) {
    const auto backends = available_tiled_backends(precision);
    CHECK(choose_tiled_backend(precision, "").value() == backends.front());
    CHECK(std::string(backends.back()->name) == "scalar");
    for (const TiledBackend* backend : backends) {
      CHECK(backend->precision == precision);
      CHECK(choose_tiled_backend(precision, backend->name).value() == backend);
    }
    const auto refused = choose_tiled_backend(precision, "neon");
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kUnsupported);
    for (const std::string& name : backend_names(precision)) {
      CHECK(refused.status().message().find(name) != std::string::npos);
    }
    CHECK(refused.status().message().find(precision_name(precision)) != std::string::npos);
  }
}

}  // namespace
}  // namespace nestor::embed
