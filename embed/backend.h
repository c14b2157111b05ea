// Backend: the table of kernels FloatEncoder is written in, and the choice of backends of all
// precisions, made once when a model is opened. The
// scalar backend is the definition; every other agrees with it within the tolerance its test
// states.
//
// All matrices are row-major; a stride is the distance between two rows in floats. Kernels allocate
// nothing, throw nothing and run on the calling thread alone: parallelism belongs to the encoder.
// Threads: tables are constants; kernels may run on any number of threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/vector_math_product.h"
#include "embed/precision.h"
#include "embed/tiled_backend.h"
#include "nestor/status.h"

namespace nestor::embed {

// Keys a row of attention scores may look at: columns [begin, end).
struct KeyRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

class OpenBlasLibrary;

struct Backend {
  const char* name;

  // result(rows, columns) = factor * a(rows, inner) * b(columns, inner)^T: linear layers and q *
  // k^T.
  void (*product_transposed)(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                             Matrix result);
  // result(rows, columns) = a(rows, inner) * b(inner, columns): attention weights times values.
  void (*product)(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result);

  // result = x / sqrt(mean(x^2) + epsilon) * scale, row by row; both (rows, width), contiguous.
  void (*rms_norm)(std::int64_t rows, std::int64_t width, const float* x, const float* scale,
                   float epsilon, float* result);
  // sum += rms_norm(x): the "post" norms act on the branch before it is added to the stream.
  void (*rms_norm_add)(std::int64_t rows, std::int64_t width, const float* x, const float* scale,
                       float epsilon, float* sum);
  // One head of one token, in place: rms_norm over its width, then the rotation of the pairs
  // (i, i + width / 2) by the angles of its position; cosine and sine are (width / 2).
  void (*norm_rotate)(std::int64_t width, float* head, const float* scale, float epsilon,
                      const float* cosine, const float* sine);
  // In place on (rows, columns): row r becomes the softmax over its key range, and 0 outside of it.
  void (*softmax)(std::int64_t rows, std::int64_t columns, const KeyRange* ranges, Matrix scores);
  // result(rows, width) = gelu_tanh(gate) * up, where gate_up is (rows, 2 * width): gate, then up.
  void (*gelu_multiply)(std::int64_t rows, std::int64_t width, const float* gate_up, float* result);

  // Whose products these are, or null: each pass holds an OpenBlasLibrary::OneThread.
  const OpenBlasLibrary* openblas = nullptr;
};

// The definition: plain loops over std::exp and std::tanh, one fixed order of summation.
const Backend& scalar_backend();
// Vector code, for the widest vectors that this processor has.
const Backend& vector_backend();
// The same with OpenBLAS's products, or null (openblas_library.h).
const Backend* openblas_backend();

// Every f32 backend that runs on this machine, the preferred one first. The first call loads
// OpenBLAS.
std::span<const Backend* const> available_backends();
// Every tiled backend of bf16 or int8 that runs on this machine, the preferred one first.
std::vector<const TiledBackend*> available_tiled_backends(Precision precision);
// Their names.
std::vector<std::string> backend_names(Precision precision);
// int8 where the machine has a vector unit for it, else f32.
Precision default_precision();

// The preferred one, or the one `forced` names (NESTOR_FORCE_BACKEND; empty: nothing is forced).
// Errors: kUnsupported (names the backends the precision has here).
Result<const Backend*> choose_backend(const std::string& forced);
Result<const TiledBackend*> choose_tiled_backend(Precision precision, const std::string& forced);

}  // namespace nestor::embed
