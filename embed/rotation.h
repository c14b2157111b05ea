// Rotation: the orthogonal change of basis that spreads outliers over many channels before a row is
// quantised to int8. In front of a product: x' = T H S x with blocks of Hadamard matrices H, random
// signs S, and T that mixes the blocks by threes; the weights take the inverse, W' = W S H^T T / n,
// so W' x' = W x.
//
// H of n = 16 v channels, v vectors of 16 lanes, is log2(n) stages. The first log2(v) are those of
// Walsh and Hadamard over whole vectors: pairs 1, 2, 4, ... vectors apart become sum and
// difference. The last four mix lanes as well: before stage s the second vector of each pair has
// its lanes swapped, i and i ^ 2^s, and the pairs are 2^(s mod log2(v)) apart. Each stage is
// orthogonal up to a factor, and as the swaps reach every lane once, all entries of H are 1 or -1.
// Against four stages inside each vector that is half the shuffles and as many sums less. (v = 1:
// inside the vector.)
//
// Where S and H can be folded into weights they are; where not, the norm before the product carries
// S in its scale and the backend transforms a row by H at run time. Source: QuaRot (Ashkboos et
// al., 2024). What it is worth: DECISIONS.md. Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <span>

#include "embed/tiled_backend.h"

namespace nestor::embed {

// Of a row of `width` channels: blocks of the largest power of two up to 256 that divides width (16
// at least, else none), then blocks mixed by threes as often as their number allows, up to twice.
RotationSteps rotation_steps(std::int64_t width);
// Of the heads' outputs, which come rotated inside each head: the heads mixed by threes.
RotationSteps head_rotation_steps(std::int64_t head_count, std::int64_t head_width);

// 1 or -1 for each channel, the same for ever. STORED: packed models have it in their weights.
float rotation_sign(std::int64_t channel);

// A row of weights in front of which the input is rotated by rotation_steps(row.size()).
void rotate_input_weights(std::span<float> row);

// A column of weights whose output is one head, to come out rotated: H S column / sqrt(n).
void rotate_head_weights(std::span<float> column);
// A row of weights behind heads that come out so and are then rotated by head_rotation_steps.
void rotate_after_heads(std::span<float> row, std::int64_t head_width);

}  // namespace nestor::embed
