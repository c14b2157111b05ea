#include "embed/tiled_weights.h"

#include <fmt/format.h>

#include "core/check.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

constexpr std::int64_t kSectionAlignment = 64;

class Layout {
 public:
  std::int64_t place(std::int64_t bytes) {
    const std::int64_t offset = size_;
    size_ += round_up(bytes, kSectionAlignment);
    return offset;
  }
  std::int64_t place_floats(std::int64_t count) { return place(count * 4); }
  TiledMatrixLayout place_matrix(Precision precision, std::int64_t columns, std::int64_t inner) {
    TiledMatrixLayout matrix;
    matrix.columns = columns;
    matrix.inner = inner;
    matrix.panel_count = round_up(columns, kPanelColumns) / kPanelColumns;
    const std::int64_t step = precision == Precision::kInt8 ? kStepBytes : kStepBytes / 2;
    matrix.steps = round_up(inner, step) / step;
    matrix.offset = place(matrix.panel_count * matrix.panel_bytes());
    if (precision == Precision::kInt8) {
      matrix.scales = place_floats(matrix.panel_count * kPanelColumns);
      matrix.sums = place_floats(matrix.panel_count * kPanelColumns);
      matrix.biases = place_floats(matrix.panel_count * kPanelColumns);
    }
    return matrix;
  }
  [[nodiscard]] std::int64_t size() const { return size_; }

 private:
  std::int64_t size_ = 0;
};

Status check_size(const char* name, std::int64_t value, std::int64_t unit) {
  if (value % unit == 0) return {};
  return {StatusCode::kUnsupported,
          fmt::format("{} is {}; the precisions bf16 and int8 take multiples of {}. Use f32.", name,
                      value, unit)};
}

const float* floats_at(const char* base, std::int64_t offset) {
  return reinterpret_cast<const float*>(base + offset);
}

TiledMatrix view_matrix(const TiledMatrixLayout& layout, Precision precision, const char* layer) {
  TiledMatrix matrix;
  matrix.panels = reinterpret_cast<const std::uint8_t*>(layer + layout.offset);
  if (precision == Precision::kInt8) {
    matrix.scales = floats_at(layer, layout.scales);
    matrix.sums = reinterpret_cast<const std::int32_t*>(layer + layout.sums);
    matrix.biases = floats_at(layer, layout.biases);
  }
  matrix.panel_count = layout.panel_count;
  matrix.steps = layout.steps;
  return matrix;
}

}  // namespace

Result<TiledLayout> tiled_layout(const ModelConfig& config, Precision precision) {
  NESTOR_RETURN_IF_ERROR(check_size("hidden_size", config.hidden_size, kLanes));
  NESTOR_RETURN_IF_ERROR(check_size("head_dim", config.head_width, 2 * kPanelColumns));
  NESTOR_RETURN_IF_ERROR(check_size("intermediate_size", config.feed_forward_size, kLanes));
  NESTOR_RETURN_IF_ERROR(check_size("the output width", config.output_width(), kLanes));
  if (config.key_head_count != 1) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("num_key_value_heads is {}; the precisions bf16 and int8 take 1. Use "
                              "f32.",
                              config.key_head_count));
  }
  const std::int64_t query_width = config.head_count * config.head_width;
  const std::int64_t joint_width = query_width + 2 * config.key_head_count * config.head_width;
  TiledLayout result;
  result.precision = precision;
  Layout layer;
  result.input_norm = layer.place_floats(config.hidden_size);
  result.query_norm = layer.place_floats(config.head_width);
  result.key_norm = layer.place_floats(config.head_width);
  result.post_attention_norm = layer.place_floats(config.hidden_size);
  result.pre_feed_forward_norm = layer.place_floats(config.hidden_size);
  result.post_feed_forward_norm = layer.place_floats(config.hidden_size);
  result.joint = layer.place_matrix(precision, joint_width, config.hidden_size);
  result.attention_output = layer.place_matrix(precision, config.hidden_size, query_width);
  result.gate_up = layer.place_matrix(precision, 2 * config.feed_forward_size, config.hidden_size);
  result.gate_up.in_pairs = false;
  result.down = layer.place_matrix(precision, config.hidden_size, config.feed_forward_size);
  result.layer_bytes = layer.size();
  result.final_norm = result.layer_bytes * static_cast<std::int64_t>(config.layers.size());
  result.bytes = result.final_norm + round_up(config.hidden_size * 4, kSectionAlignment);
  return result;
}

TiledWeights view_tiled_weights(const TiledLayout& layout, std::size_t layer_count,
                                std::span<const char> section) {
  NESTOR_CHECK(static_cast<std::int64_t>(section.size()) == layout.bytes, "the layer section");
  TiledWeights weights;
  const char* layer = section.data();
  for (std::size_t i = 0; i < layer_count; ++i, layer += layout.layer_bytes) {
    TiledLayer& view = weights.layers.emplace_back();
    view.input_norm = floats_at(layer, layout.input_norm);
    view.query_norm = floats_at(layer, layout.query_norm);
    view.key_norm = floats_at(layer, layout.key_norm);
    view.post_attention_norm = floats_at(layer, layout.post_attention_norm);
    view.pre_feed_forward_norm = floats_at(layer, layout.pre_feed_forward_norm);
    view.post_feed_forward_norm = floats_at(layer, layout.post_feed_forward_norm);
    view.joint = view_matrix(layout.joint, layout.precision, layer);
    view.attention_output = view_matrix(layout.attention_output, layout.precision, layer);
    view.gate_up = view_matrix(layout.gate_up, layout.precision, layer);
    view.down = view_matrix(layout.down, layout.precision, layer);
  }
  weights.final_norm = floats_at(section.data(), layout.final_norm);
  return weights;
}

std::int64_t column_place(const TiledMatrixLayout& matrix, std::int64_t column) {
  if (!matrix.in_pairs) return column;
  return column / kPanelColumns * kPanelColumns + place_in_pairs(column % kPanelColumns);
}

std::int64_t panel_offset(const TiledMatrixLayout& matrix, Precision precision, std::int64_t column,
                          std::int64_t inner) {
  const std::int64_t bytes = precision == Precision::kInt8 ? 1 : 2;
  const std::int64_t at = inner * bytes;  // in the column
  const std::int64_t place = column_place(matrix, column);
  return place / kPanelColumns * matrix.panel_bytes() + at / kStepBytes * kPanelStepBytes +
         place % kPanelColumns / 16 * kTileBytes + at % kStepBytes / 4 * 64 + place % 16 * 4 +
         at % 4;
}

}  // namespace nestor::embed
