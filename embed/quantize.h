// Quantize: weights as bf16 or int8 in panels, rows of the embedding table.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <span>

#include "embed/packed_model.h"
#include "embed/tiled_weights.h"

namespace nestor::embed {

// The nearest bfloat16, halves to even. REQUIRES: finite.
std::uint16_t to_bf16(float value);
float from_bf16(std::uint16_t half);

// The scale of a symmetric int8 row: value ~ scale * q, |q| <= 127. Not always largest / 127: of
// some smaller ones, the scale with the least squared error.
float int8_scale(std::span<const float> row);
// q of each value by that scale.
void quantize_int8(std::span<const float> row, float scale, std::int8_t* out);

// Puts one column's `inner` weights into the panels of `matrix`; for int8 its scale and sum too,
// and with the mean input of the matrix (inner; else empty) the bias that makes up for the rounding
// of the weights on average. `layer` is the layer's memory.
void place_column(const TiledMatrixLayout& matrix, Precision precision, std::int64_t column,
                  std::span<const float> weights, std::span<const float> mean_input, char* layer);

// One row of the embedding table; out has layout.bytes.
void place_table_row(std::span<const float> row, Precision precision, const TableRowLayout& layout,
                     char* out);

}  // namespace nestor::embed
