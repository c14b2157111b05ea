// Rotary: cosine and sine of every position, for the rotary position embedding.
// Threads: values.
#pragma once

#include <cstdint>
#include <vector>

namespace nestor::embed {

struct Rotary {
  std::vector<float> cosine;  // (positions, head_width / 2)
  std::vector<float> sine;    // the same
};

// Source: RoFormer (Su et al., 2021), with the halves rotated as Gemma does. Cost: a cosine and a
// sine each.
Rotary make_rotary(std::int64_t positions, std::int64_t head_width, double base);

}  // namespace nestor::embed
