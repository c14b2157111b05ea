// The row kernels and attention of every tiled backend of this machine against the scalar one: int8
// bit for bit, bf16 within one step of a bfloat16. Products: tiled_products_test.cc.
#include "embed/tiled_backend.h"

#include <doctest/doctest.h>

#include <cmath>
#include <utility>

#include "embed/rotation.h"
#include "tests/embed/tiled_samples.h"

namespace nestor::embed {
namespace {

using testing::aligned;
using testing::aligned_copy;
using testing::for_each_backend;
using testing::random_floats;
using testing::round_up;
using testing::same_bits;
using testing::SampleHalves;

constexpr float kUntouched = -7777.0F;

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
  const SampleHalves branch(HalfOrder::kPairs, kFirstRow + rows, one.width,
                            random_floats((kFirstRow + rows) * one.width, 10, 3));
  const auto post = aligned_copy(random_floats(one.width, 11));
  const auto pre = aligned_copy(random_floats(one.width, 12));
  auto bytes = aligned<std::uint8_t>(64 * steps * kStepBytes);
  auto scratch = aligned<float>(kRowsTogether * one.width);
  Normed result;
  result.scales.assign(64, kUntouched);
  backend.norm({.rows = rows,
                .width = one.width,
                .epsilon = 1e-6F,
                .stream = stream.data(),
                .branch = one.branch ? branch.view() : HalfRows(),
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

Normed input_of(const TiledBackend& backend, const SampleHalves& x, std::int64_t rows,
                std::int64_t width, const RotationSteps& rotation, bool fine) {
  const std::int64_t steps = round_up(width, 64) / 64;
  auto scratch = aligned<float>(kRowsTogether * width);
  auto bytes = aligned<std::uint8_t>(64 * steps * kStepBytes);
  Normed result;
  result.scales.assign(64, kUntouched);
  backend.make_input({.rows = rows - kFirstRow,
                      .width = width,
                      .x = x.view(),
                      .rotation = rotation,
                      .first_row = kFirstRow,
                      .out = {bytes.data(), result.scales.data(), fine},
                      .out_steps = steps,
                      .scratch = scratch.data()});
  result.bytes.assign(bytes.data(), bytes.data() + 64 * steps * kStepBytes);
  remove_bias(backend, (rows - kFirstRow) * (fine ? 2 : 1), kFirstRow * (fine ? 2 : 1), steps,
              result.bytes);
  return result;
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
    const std::int64_t rows = kFirstRow + 7;
    std::vector<float> x = random_floats(rows * one.width, 13);
    std::fill_n(x.begin() + (kFirstRow + 1) * one.width, one.width, 0.0F);
    for (const bool fine : {false, true}) {
      for (const HalfOrder order : {HalfOrder::kPairs, HalfOrder::kPlain}) {
        CAPTURE(one.width);
        CAPTURE(fine);
        const SampleHalves halves(order, rows, one.width, x);
        for_each_backend(
            Precision::kInt8, [&](const TiledBackend& backend, const TiledBackend& scalar) {
              const Normed got = input_of(backend, halves, rows, one.width, one.steps, fine);
              const Normed want = input_of(scalar, halves, rows, one.width, one.steps, fine);
              CHECK(got.bytes == want.bytes);
              CHECK(same_bits(got.scales, want.scales));
            });
      }
    }
  }
}

// Queries, keys and values of `tokens` tokens at `position` of a text of 64.
std::vector<std::uint8_t> heads_of(const TiledBackend& backend, std::int64_t tokens,
                                   std::int64_t position, bool ends_text, std::int64_t head_width) {
  const std::int64_t heads = 3;
  const std::int64_t steps = head_width / 32;
  const std::int64_t columns = (heads + 2) * head_width;
  const SampleHalves joint(HalfOrder::kPairs, kFirstRow + tokens, columns,
                           random_floats((kFirstRow + tokens) * columns, 14));
  const auto query_scale = aligned_copy(random_floats(head_width, 15));
  const auto key_scale = aligned_copy(random_floats(head_width, 16));
  const auto cosine = aligned_copy(random_floats(64 * head_width / 2, 17, 0.7F));
  const auto sine = aligned_copy(random_floats(64 * head_width / 2, 18, 0.7F));
  const std::int64_t query_bytes = round_up(tokens * heads, 32) * steps * kStepBytes;
  auto queries = aligned<std::uint8_t>(query_bytes);
  const std::int64_t panel_bytes = 2 * steps * kPanelStepBytes;
  auto keys = aligned<std::uint8_t>(panel_bytes);
  auto values = aligned<std::uint8_t>(panel_bytes);
  std::memset(keys.data(), 0x11, static_cast<std::size_t>(panel_bytes));
  std::memset(values.data(), 0x11, static_cast<std::size_t>(panel_bytes));
  auto scratch = aligned<float>(8 * head_width);
  backend.make_heads({.tokens = tokens,
                      .position = position,
                      .ends_text = ends_text,
                      .head_count = heads,
                      .head_width = head_width,
                      .epsilon = 1e-6F,
                      .joint = joint.view(),
                      .first_row = kFirstRow,
                      .query_scale = query_scale.data(),
                      .key_scale = key_scale.data(),
                      .cosine = cosine.data(),
                      .sine = sine.data(),
                      .queries = queries.data(),
                      .keys = keys.data(),
                      .values = values.data(),
                      .key_steps = 2,
                      .scratch = scratch.data()});
  std::vector<std::uint8_t> result(queries.data(), queries.data() + query_bytes);
  result.insert(result.end(), keys.data(), keys.data() + panel_bytes);
  result.insert(result.end(), values.data(), values.data() + panel_bytes);
  return result;
}

TEST_CASE("heads have the bits of the definition for blocks of any length, widths from 64") {
  for (const std::int64_t head_width : {64, 128, 256}) {
    for (const std::int64_t tokens : {1, 2, 15, 16, 17, 31, 32}) {
      for (const std::int64_t position : {0, 16, 32, 48}) {
        if (position % 32 != 0 && tokens > 16) continue;
        for (const bool ends_text : {false, true}) {
          CAPTURE(head_width);
          CAPTURE(tokens);
          CAPTURE(position);
          CAPTURE(ends_text);
          for_each_backend(Precision::kInt8,
                           [&](const TiledBackend& backend, const TiledBackend& scalar) {
                             CHECK(heads_of(backend, tokens, position, ends_text, head_width) ==
                                   heads_of(scalar, tokens, position, ends_text, head_width));
                           });
        }
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
  const std::int64_t panels = columns / 32;
  const auto softmax_of = [&](const TiledBackend& backend) {
    auto x = aligned<float>(panels * kBlockValues);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      x.data()[at % columns / 32 * kBlockValues + at / columns * 32 + at % 32] = scores[i];
    }
    auto weights = aligned<std::uint8_t>(kRowBlock * panels * kStepBytes);
    std::vector<float> inverse(static_cast<std::size_t>(rows));
    backend.softmax({.rows = rows,
                     .panel_count = panels,
                     .scores = x.data(),
                     .weights = weights.data(),
                     .begins = begins.data(),
                     .ends = ends.data(),
                     .inverse_sums = inverse.data()});
    std::vector<std::uint8_t> bytes(weights.data(),
                                    weights.data() + kRowBlock * panels * kStepBytes);
    return std::pair(std::move(bytes), std::move(inverse));
  };
  for_each_backend(Precision::kInt8, [&](const TiledBackend& backend, const TiledBackend& scalar) {
    CHECK(softmax_of(backend) == softmax_of(scalar));
  });
}

TEST_CASE("sums of norms and the head have the bits of the definition") {
  const std::int64_t rows = 5;
  for (const std::int64_t width : {16, 48, 80, 768}) {
    const auto x = aligned_copy(random_floats(rows * width, 20));
    const auto scale = aligned_copy(random_floats(width, 21));
    const auto weight = aligned_copy(random_floats(width * 208, 22));
    const auto all_of = [&](const TiledBackend& backend) {
      std::vector<float> result(static_cast<std::size_t>(width), 0.5F);
      backend.norm_sum(rows, width, 0, width, x.data(), scale.data(), 1e-6F, result.data());
      std::vector<float> y(208);
      backend.transform(width, 208, 0, 144, x.data(), weight.data(), y.data());
      backend.transform(width, 208, 144, 208, x.data(), weight.data(), y.data());
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
