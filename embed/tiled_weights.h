// TiledWeights: where everything lies in the layer section of a packed model of bf16 or int8, and
// the views the encoder works on. The layout follows from the configuration and the precision
// alone, so a file holds no offsets that could lie.
//
// Every layer has the same layout, one after the other; the final norm follows. All parts begin at
// multiples of 64 bytes. STORED: embed/PACKED_FORMAT.md.
// Threads: values and free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embed/model_config.h"
#include "embed/tiled_backend.h"
#include "nestor/status.h"

namespace nestor::embed {

// The least multiple of `unit` that is not below `value`.
constexpr std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// One matrix (columns, inner): panels, then for int8 the scales, sums and biases of its columns.
struct TiledMatrixLayout {
  bool in_pairs = true;  // columns stand at place_in_pairs; gate_up: as they are numbered
  std::int64_t columns = 0;
  std::int64_t inner = 0;
  std::int64_t panel_count = 0;
  std::int64_t steps = 0;
  std::int64_t offset = 0;  // in the layer
  std::int64_t scales = 0;  // int8: offsets in the layer
  std::int64_t sums = 0;
  std::int64_t biases = 0;

  [[nodiscard]] std::int64_t panel_bytes() const { return steps * kPanelStepBytes; }
};

struct TiledLayout {
  Precision precision = Precision::kInt8;
  // Offsets in a layer. The scales of the norms are those the kernels multiply by: 1 + weight, and
  // for the queries the factor of the scores and log2(e), for int8 the signs of the rotation.
  std::int64_t input_norm = 0;              // (hidden)
  std::int64_t query_norm = 0;              // (head_width)
  std::int64_t key_norm = 0;                // (head_width)
  std::int64_t post_attention_norm = 0;     // (hidden)
  std::int64_t pre_feed_forward_norm = 0;   // (hidden)
  std::int64_t post_feed_forward_norm = 0;  // (hidden)
  TiledMatrixLayout joint;                  // queries, keys, values (joint_width, hidden)
  TiledMatrixLayout attention_output;       // (hidden, query_width)
  TiledMatrixLayout gate_up;                // 16 gate, 16 up, … (2 * feed_forward, hidden)
  TiledMatrixLayout down;                   // (hidden, feed_forward)
  std::int64_t layer_bytes = 0;
  std::int64_t final_norm = 0;  // offset in the section, (hidden)
  std::int64_t bytes = 0;       // of the section
};

// Errors: kUnsupported (a size that tiles do not take, named).
Result<TiledLayout> tiled_layout(const ModelConfig& config, Precision precision);

struct TiledLayer {
  const float* input_norm = nullptr;
  const float* query_norm = nullptr;
  const float* key_norm = nullptr;
  const float* post_attention_norm = nullptr;
  const float* pre_feed_forward_norm = nullptr;
  const float* post_feed_forward_norm = nullptr;
  TiledMatrix joint;
  TiledMatrix attention_output;
  TiledMatrix gate_up;
  TiledMatrix down;
};

struct TiledWeights {
  std::vector<TiledLayer> layers;
  const float* final_norm = nullptr;  // (hidden)
  const float* head = nullptr;        // (hidden, output_width): both Dense layers, transposed
};

// Views into the layer section, which must be layout.bytes long and outlive them.
TiledWeights view_tiled_weights(const TiledLayout& layout, std::size_t layer_count,
                                std::span<const char> section);

// Where the value `inner` of column `column` lies in a matrix's panels, in bytes.
std::int64_t panel_offset(const TiledMatrixLayout& matrix, Precision precision, std::int64_t column,
                          std::int64_t inner);
// Where column `column` stands among the columns of all panels: the place of its scale, sum, bias.
std::int64_t column_place(const TiledMatrixLayout& matrix, std::int64_t column);

}  // namespace nestor::embed
