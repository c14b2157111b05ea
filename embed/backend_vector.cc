#include "core/vector_math_product.h"
#include "embed/backend.h"
#include "embed/openblas_library.h"
#include "embed/vector_kernels.h"

namespace nestor::embed {
namespace {

// One instruction set's copies of the element-wise kernels; `attributes` names the set.
#define NESTOR_ELEMENTWISE(suffix, lanes, attributes)                                           \
  attributes void rms_norm_##suffix(std::int64_t rows, std::int64_t width, const float* x,      \
                                    const float* scale, float epsilon, float* result) {         \
    vector_kernels::rms_norm<lanes, false>(rows, width, x, scale, epsilon, result);             \
  }                                                                                             \
  attributes void rms_norm_add_##suffix(std::int64_t rows, std::int64_t width, const float* x,  \
                                        const float* scale, float epsilon, float* sum) {        \
    vector_kernels::rms_norm<lanes, true>(rows, width, x, scale, epsilon, sum);                 \
  }                                                                                             \
  attributes void norm_rotate_##suffix(std::int64_t width, float* head, const float* scale,     \
                                       float epsilon, const float* cosine, const float* sine) { \
    vector_kernels::norm_rotate<lanes>(width, head, scale, epsilon, cosine, sine);              \
  }                                                                                             \
  attributes void softmax_##suffix(std::int64_t rows, std::int64_t columns,                     \
                                   const KeyRange* ranges, Matrix scores) {                     \
    vector_kernels::softmax<lanes>(rows, columns, ranges, scores);                              \
  }                                                                                             \
  attributes void gelu_multiply_##suffix(std::int64_t rows, std::int64_t width,                 \
                                         const float* gate_up, float* result) {                 \
    vector_kernels::gelu_multiply<lanes>(rows, width, gate_up, result);                         \
  }                                                                                             \
  constexpr Backend kBackend_##suffix = {.name = "vector",                                      \
                                         .product_transposed = nestor::product_transposed,      \
                                         .product = nestor::product,                            \
                                         .rms_norm = rms_norm_##suffix,                         \
                                         .rms_norm_add = rms_norm_add_##suffix,                 \
                                         .norm_rotate = norm_rotate_##suffix,                   \
                                         .softmax = softmax_##suffix,                           \
                                         .gelu_multiply = gelu_multiply_##suffix};

NESTOR_ELEMENTWISE(baseline, 4, )
#if defined(__x86_64__)
NESTOR_ELEMENTWISE(avx2, 8, __attribute__((target("avx2,fma"))))
NESTOR_ELEMENTWISE(avx512, 16, __attribute__((target("avx512f,avx2,fma"))))
#endif

const Backend& widest_backend() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return kBackend_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kBackend_avx2;
#endif
  return kBackend_baseline;
}

}  // namespace

const Backend& vector_backend() {
  static const Backend& backend = widest_backend();
  return backend;
}

const Backend* openblas_backend() {
  if (OpenBlasLibrary::find() == nullptr) return nullptr;
  static const Backend backend = [] {
    Backend made = widest_backend();
    made.name = "openblas";
    made.openblas = OpenBlasLibrary::find();
    made.product_transposed = [](ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                                 Matrix result) {
      OpenBlasLibrary::find()->product_transposed(shape, factor, a, b, result);
    };
    made.product = [](ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) {
      OpenBlasLibrary::find()->product(shape, a, b, result);
    };
    return made;
  }();
  return &backend;
}

}  // namespace nestor::embed
