// Products of f32 matrices, for the f32 encoder and for exact scores of many vectors.
//
// All matrices are row-major views; a stride is the distance between two rows in floats. An element
// of a result depends on its row and its column alone: neither the number of rows and columns nor a
// split of them changes a bit of it. Vector units are chosen at run time; sums of other units
// differ in the last bits.
// Cost: 2 rows columns inner FLOP at 60 to 80 % of what the processor's vector units do; no
// allocation, no thread, no packing of the operands.
// Threads: free functions, safe anywhere; they run on the calling thread alone.
#pragma once

#include <cstdint>

namespace nestor {

// A matrix somebody else owns: (rows, columns) with `stride` floats from row to row.
struct ConstMatrix {
  const float* data = nullptr;
  std::int64_t stride = 0;
};
struct Matrix {
  float* data = nullptr;
  std::int64_t stride = 0;
};

struct ProductShape {
  std::int64_t rows = 0;     // of a and of the result
  std::int64_t columns = 0;  // of the result
  std::int64_t inner = 0;    // summed over
};

// result(rows, columns) = factor * a(rows, inner) * b(columns, inner)^T.
void product_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                        Matrix result);
// result(rows, columns) = a(rows, inner) * b(inner, columns).
void product(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result);

}  // namespace nestor
