// Arithmetic on rows of floats. Plain loops: the compiler vectorises them for the baseline; faster
// ones belong to the backends. Threads: free functions, safe anywhere.
#pragma once

#include <span>
#include <vector>

namespace nestor {

// Sum of products, accumulated in double. REQUIRES: equal sizes.
double dot(std::span<const float> a, std::span<const float> b);
// Scales to unit length in place; false (and nothing changed) where the length is zero or not
// finite.
bool normalize(std::span<float> row);
// The first `width` components, normalised again. Source: the model card's Matryoshka truncation.
std::vector<float> cut_to_width(std::span<const float> row, int width);
bool all_finite(std::span<const float> row);

}  // namespace nestor
