#include "embed/pack_layers.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/macros.h"
#include "embed/quantize.h"
#include "embed/rotation.h"

namespace nestor::embed {
namespace {

// A matrix of the checkpoint, (rows, columns): out features, in features.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<float> values;

  std::span<float> row(std::int64_t at) {
    return std::span(values).subspan(static_cast<std::size_t>(at * columns),
                                     static_cast<std::size_t>(columns));
  }
};

class LayerPacker {
 public:
  LayerPacker(const Checkpoint& checkpoint, const TiledLayout& layout, std::size_t index,
              const LayerMeans& means, char* out)
      : checkpoint_(checkpoint),
        config_(checkpoint.config()),
        layout_(layout),
        prefix_(fmt::format("layers.{}.", index)),
        means_(means),
        out_(out),
        rotated_(layout.precision == Precision::kInt8) {}

  Status run() {
    NESTOR_RETURN_IF_ERROR(place_norms());
    NESTOR_RETURN_IF_ERROR(place_joint());
    NESTOR_RETURN_IF_ERROR(place_attention_output());
    NESTOR_RETURN_IF_ERROR(place_gate_up());
    return place_down();
  }

 private:
  Result<Matrix> read(const char* name, std::int64_t rows, std::int64_t columns) {
    Matrix matrix{rows, columns, std::vector<float>(static_cast<std::size_t>(rows * columns))};
    NESTOR_RETURN_IF_ERROR(checkpoint_.read(prefix_ + name, 0, matrix.values));
    return matrix;
  }

  // A norm's scale: times `factor`, and with the signs of the rotation that follows it.
  Status place_norm(const char* name, std::int64_t width, std::int64_t offset, float factor,
                    bool with_signs) {
    NESTOR_ASSIGN_OR_RETURN(Matrix scale, read(name, 1, width));
    for (std::int64_t i = 0; i < width; ++i) {
      float& value = scale.values[static_cast<std::size_t>(i)];
      value *= factor;
      if (with_signs && rotated_) value *= rotation_sign(i);
    }
    std::memcpy(out_ + offset, scale.values.data(), scale.values.size() * sizeof(float));
    return {};
  }

  Status place_norms() {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t head = config_.head_width;
    // Scores come out as powers of two.
    const auto score =
        static_cast<float>(static_cast<double>(config_.score_scale) * std::log2(std::exp(1.0)));
    NESTOR_RETURN_IF_ERROR(
        place_norm("input_layernorm.weight", hidden, layout_.input_norm, 1, true));
    NESTOR_RETURN_IF_ERROR(
        place_norm("self_attn.q_norm.weight", head, layout_.query_norm, score, false));
    NESTOR_RETURN_IF_ERROR(place_norm("self_attn.k_norm.weight", head, layout_.key_norm, 1, false));
    NESTOR_RETURN_IF_ERROR(place_norm("post_attention_layernorm.weight", hidden,
                                      layout_.post_attention_norm, 1, false));
    NESTOR_RETURN_IF_ERROR(place_norm("pre_feedforward_layernorm.weight", hidden,
                                      layout_.pre_feed_forward_norm, 1, true));
    return place_norm("post_feedforward_layernorm.weight", hidden, layout_.post_feed_forward_norm,
                      1, false);
  }

  void place(const TiledMatrixLayout& layout, LinearLayer which, std::int64_t column,
             std::span<float> weights) {
    place_column(layout, layout_.precision, column, weights,
                 means_[static_cast<std::size_t>(which)], out_);
  }

  Status place_joint() {
    const std::int64_t hidden = config_.hidden_size;
    const std::int64_t query_width = config_.head_count * config_.head_width;
    const std::int64_t key_width = config_.head_width;
    NESTOR_ASSIGN_OR_RETURN(Matrix q, read("self_attn.q_proj.weight", query_width, hidden));
    NESTOR_ASSIGN_OR_RETURN(Matrix k, read("self_attn.k_proj.weight", key_width, hidden));
    NESTOR_ASSIGN_OR_RETURN(Matrix v, read("self_attn.v_proj.weight", key_width, hidden));
    if (rotated_) rotate_outputs(v);
    std::int64_t column = 0;
    for (Matrix* matrix : {&q, &k, &v}) {
      for (std::int64_t row = 0; row < matrix->rows; ++row) {
        if (rotated_) rotate_input_weights(matrix->row(row));
        place(layout_.joint, LinearLayer::kJoint, column++, matrix->row(row));
      }
    }
    return {};
  }

  // Values come out of their product rotated, so that the input of attention_output is.
  static void rotate_outputs(Matrix& v) {
    std::vector<float> column(static_cast<std::size_t>(v.rows));
    for (std::int64_t i = 0; i < v.columns; ++i) {
      for (std::int64_t row = 0; row < v.rows; ++row) {
        column[static_cast<std::size_t>(row)] = v.row(row)[static_cast<std::size_t>(i)];
      }
      rotate_head_weights(column);
      for (std::int64_t row = 0; row < v.rows; ++row) {
        v.row(row)[static_cast<std::size_t>(i)] = column[static_cast<std::size_t>(row)];
      }
    }
  }

  Status place_attention_output() {
    const std::int64_t query_width = config_.head_count * config_.head_width;
    NESTOR_ASSIGN_OR_RETURN(Matrix o,
                            read("self_attn.o_proj.weight", config_.hidden_size, query_width));
    for (std::int64_t row = 0; row < o.rows; ++row) {
      if (rotated_) rotate_after_heads(o.row(row), config_.head_width);
      place(layout_.attention_output, LinearLayer::kAttentionOutput, row, o.row(row));
    }
    return {};
  }

  Status place_gate_up() {
    const std::int64_t inner = config_.feed_forward_size;
    NESTOR_ASSIGN_OR_RETURN(Matrix gate, read("mlp.gate_proj.weight", inner, config_.hidden_size));
    NESTOR_ASSIGN_OR_RETURN(Matrix up, read("mlp.up_proj.weight", inner, config_.hidden_size));
    for (std::int64_t row = 0; row < inner; ++row) {
      if (rotated_) {
        rotate_input_weights(gate.row(row));
        // The signs of the rotation in front of `down` ride on `up`.
        for (float& value : up.row(row)) value *= rotation_sign(row);
        rotate_input_weights(up.row(row));
      }
      const std::int64_t column = row / 16 * kPanelColumns + row % 16;
      place(layout_.gate_up, LinearLayer::kGateUp, column, gate.row(row));
      place(layout_.gate_up, LinearLayer::kGateUp, column + 16, up.row(row));
    }
    return {};
  }

  Status place_down() {
    NESTOR_ASSIGN_OR_RETURN(
        Matrix down, read("mlp.down_proj.weight", config_.hidden_size, config_.feed_forward_size));
    for (std::int64_t row = 0; row < down.rows; ++row) {
      if (rotated_) rotate_input_weights(down.row(row));
      place(layout_.down, LinearLayer::kDown, row, down.row(row));
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  const TiledLayout& layout_;
  const std::string prefix_;
  const LayerMeans& means_;
  char* out_;
  const bool rotated_;
};

}  // namespace

Status pack_tiled_layer(const Checkpoint& checkpoint, const TiledLayout& layout, std::size_t index,
                        const LayerMeans& means, char* out) {
  return LayerPacker(checkpoint, layout, index, means, out).run();
}

}  // namespace nestor::embed
