#include "embed/tiled_weights.h"

#include <doctest/doctest.h>

#include <set>
#include <utility>
#include <vector>

#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

ModelConfig tiny_config() {
  auto config = read_model_config(testing::fixture("tiny-model"));
  REQUIRE(config.ok());
  return std::move(config).value();
}

TEST_CASE("every value of a matrix has a place of its own in the panels") {
  for (const Precision precision : {Precision::kInt8, Precision::kBf16}) {
    const auto layout = tiled_layout(tiny_config(), precision);
    REQUIRE(layout.ok());
    for (const TiledMatrixLayout& matrix : {layout.value().joint, layout.value().attention_output,
                                            layout.value().gate_up, layout.value().down}) {
      const std::int64_t width = precision == Precision::kInt8 ? 1 : 2;
      std::set<std::int64_t> places;
      for (std::int64_t column = 0; column < matrix.columns; ++column) {
        for (std::int64_t inner = 0; inner < matrix.inner; ++inner) {
          const std::int64_t at = panel_offset(matrix, precision, column, inner);
          CHECK(at % width == 0);
          CHECK(at >= 0);
          CHECK(at + width <= matrix.panel_count * matrix.panel_bytes());
          places.insert(at);
        }
      }
      CHECK(static_cast<std::int64_t>(places.size()) == matrix.columns * matrix.inner);
    }
  }
}

TEST_CASE("a panel is two tiles of sixteen columns, four bytes of each column side by side") {
  TiledMatrixLayout matrix;
  matrix.in_pairs = false;
  matrix.steps = 3;
  const auto at = [&](Precision precision, std::int64_t column, std::int64_t inner) {
    return panel_offset(matrix, precision, column, inner);
  };
  CHECK(at(Precision::kInt8, 0, 3) == 3);
  CHECK(at(Precision::kInt8, 0, 4) == 64);
  CHECK(at(Precision::kInt8, 1, 0) == 4);
  CHECK(at(Precision::kInt8, 16, 0) == 1024);
  CHECK(at(Precision::kInt8, 0, 64) == kPanelStepBytes);
  CHECK(at(Precision::kInt8, 32, 0) == 3 * kPanelStepBytes);
  CHECK(at(Precision::kBf16, 0, 1) == 2);
  CHECK(at(Precision::kBf16, 0, 2) == 64);
  CHECK(at(Precision::kBf16, 0, 32) == kPanelStepBytes);
}

TEST_CASE("in pairs the columns 0, 16, 1, 17, ... of a panel stand side by side") {
  TiledMatrixLayout matrix;
  CHECK(column_place(matrix, 0) == 0);
  CHECK(column_place(matrix, 16) == 1);
  CHECK(column_place(matrix, 1) == 2);
  CHECK(column_place(matrix, 8) == 16);
  CHECK(column_place(matrix, 31) == 31);
  CHECK(column_place(matrix, 32 + 17) == 32 + 3);
  matrix.steps = 1;
  CHECK(panel_offset(matrix, Precision::kInt8, 16, 0) == 4);
  CHECK(panel_offset(matrix, Precision::kInt8, 8, 0) == kTileBytes);
}

TEST_CASE("the parts of a layer begin at multiples of 64 bytes and do not overlap") {
  for (const Precision precision : {Precision::kInt8, Precision::kBf16}) {
    const ModelConfig config = tiny_config();
    const auto made = tiled_layout(config, precision);
    REQUIRE(made.ok());
    const TiledLayout& layout = made.value();
    std::vector<std::pair<std::int64_t, std::int64_t>> parts = {
        {layout.input_norm, config.hidden_size * 4},
        {layout.query_norm, config.head_width * 4},
        {layout.key_norm, config.head_width * 4},
        {layout.post_attention_norm, config.hidden_size * 4},
        {layout.pre_feed_forward_norm, config.hidden_size * 4},
        {layout.post_feed_forward_norm, config.hidden_size * 4}};
    for (const TiledMatrixLayout& matrix :
         {layout.joint, layout.attention_output, layout.gate_up, layout.down}) {
      parts.emplace_back(matrix.offset, matrix.panel_count * matrix.panel_bytes());
      if (precision != Precision::kInt8) continue;
      for (const std::int64_t offset : {matrix.scales, matrix.sums, matrix.biases}) {
        parts.emplace_back(offset, matrix.panel_count * kPanelColumns * 4);
      }
    }
    std::sort(parts.begin(), parts.end());
    std::int64_t end = 0;
    for (const auto& [offset, bytes] : parts) {
      CHECK(offset % 64 == 0);
      CHECK(offset >= end);
      end = offset + bytes;
    }
    CHECK(end <= layout.layer_bytes);
    CHECK(layout.final_norm ==
          layout.layer_bytes * static_cast<std::int64_t>(config.layers.size()));
    CHECK(layout.bytes == layout.final_norm + config.hidden_size * 4);
  }
}

TEST_CASE("views lie where the layout says, in every layer") {
  const ModelConfig config = tiny_config();
  const TiledLayout layout = tiled_layout(config, Precision::kInt8).value();
  const std::vector<char> section(static_cast<std::size_t>(layout.bytes), 0);
  const TiledWeights weights = view_tiled_weights(layout, config.layers.size(), section);
  REQUIRE(weights.layers.size() == config.layers.size());
  const auto* begin = reinterpret_cast<const std::uint8_t*>(section.data());
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i) * layout.layer_bytes;
    CHECK(weights.layers[i].down.panels - begin == at + layout.down.offset);
    CHECK(weights.layers[i].joint.panel_count == layout.joint.panel_count);
    CHECK(reinterpret_cast<const std::uint8_t*>(weights.layers[i].gate_up.biases) - begin ==
          at + layout.gate_up.biases);
  }
  CHECK(reinterpret_cast<const std::uint8_t*>(weights.final_norm) - begin == layout.final_norm);
}

TEST_CASE("sizes that tiles do not take are refused by name, with the way out") {
  const auto refused = [](const char* part, const auto& edit) {
    ModelConfig config = tiny_config();
    edit(config);
    for (const Precision precision : {Precision::kInt8, Precision::kBf16}) {
      const auto layout = tiled_layout(config, precision);
      REQUIRE_FALSE(layout.ok());
      CHECK(layout.status().code() == StatusCode::kUnsupported);
      CHECK(layout.status().message().find(part) != std::string::npos);
      CHECK(layout.status().message().find("Use f32") != std::string::npos);
    }
  };
  refused("hidden_size is 40", [](ModelConfig& config) { config.hidden_size = 40; });
  refused("head_dim is 24", [](ModelConfig& config) { config.head_width = 24; });
  refused("intermediate_size is 50", [](ModelConfig& config) { config.feed_forward_size = 50; });
  refused("output width is 760",
          [](ModelConfig& config) { config.dense.back().out_features = 760; });
  refused("num_key_value_heads is 3", [](ModelConfig& config) { config.key_head_count = 3; });
}

}  // namespace
}  // namespace nestor::embed
