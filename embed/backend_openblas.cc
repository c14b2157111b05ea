#include <cblas.h>

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "embed/backend.h"
#include "embed/vector_kernels.h"

// Of OpenBLAS built for many processors (driver/others/dynamic.c); null where it is built for one.
extern "C" {
[[gnu::weak]] void gotoblas_dynamic_init();
[[gnu::weak]] void gotoblas_dynamic_quit();
}

namespace nestor::embed {
namespace {

#if defined(__x86_64__)
// A processor younger than itself is a Prescott of 2004 to OpenBLAS, and gets a quarter of its
// speed (0.3.21 on Emerald Rapids). It is told better before main, while there is one thread.
[[maybe_unused]] const bool kCoreCorrected = [] {
  constexpr const char* kChoice = "OPENBLAS_CORETYPE";  // a person's choice stands
  __builtin_cpu_init();
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (gotoblas_dynamic_init == nullptr || gotoblas_dynamic_quit == nullptr || !avx2 ||
      std::getenv(kChoice) != nullptr || openblas_get_corename() != std::string_view("Prescott")) {
    return false;
  }
  ::setenv(kChoice, avx512 ? "SkylakeX" : "Haswell", 1);
  gotoblas_dynamic_quit();
  gotoblas_dynamic_init();
  ::unsetenv(kChoice);
  return true;
}();
#endif

// OpenBLAS's own threads stay asleep: the encoder hands whole texts to the pool, and two pools at
// once take the processors from each other.
void pin_to_one_thread() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

blasint narrow(std::int64_t value) { return static_cast<blasint>(value); }

void product_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                        Matrix result) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, narrow(shape.rows), narrow(shape.columns),
              narrow(shape.inner), factor, a.data, narrow(a.stride), b.data, narrow(b.stride), 0.0F,
              result.data, narrow(result.stride));
}

void product(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, narrow(shape.rows), narrow(shape.columns),
              narrow(shape.inner), 1.0F, a.data, narrow(a.stride), b.data, narrow(b.stride), 0.0F,
              result.data, narrow(result.stride));
}

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
  constexpr Backend kBackend_##suffix = {.name = "openblas",                                    \
                                         .product_transposed = product_transposed,              \
                                         .product = product,                                    \
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

const Backend& openblas_backend() {
  pin_to_one_thread();
  static const Backend& backend = widest_backend();
  return backend;
}

}  // namespace nestor::embed
