// OpenBlasLibrary: OpenBLAS as it is installed on this machine, for products in f32. It is loaded
// when the first f32 model is opened and never before, because it starts a thread per processor
// when it is loaded. These end at once and its count becomes 1, unless the host has loaded it
// before.
// Threads: safe anywhere.
#pragma once

#include "core/vector_math_product.h"

namespace nestor::embed {

class OpenBlasLibrary {
 public:
  // Loaded at the first call. Null where it is not installed, lacks a function, or takes this
  // processor for an older one: its products are then slower than our own (0.3.21 takes Emerald
  // Rapids for a Prescott of 2004, at a tenth of the speed).
  static const OpenBlasLibrary* find();

  // result = factor * a * b^T, and a * b: as Backend has them. REQUIRES: a OneThread lives.
  void product_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                          Matrix result) const;
  void product(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) const;

  // While one lives, OpenBLAS works on the threads that call it alone, for encoders share their
  // work out themselves. When the last one goes, its thread count is what it was before the first.
  class OneThread {
   public:
    explicit OneThread(const OpenBlasLibrary* library);  // may be null
    ~OneThread();
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

   private:
    const OpenBlasLibrary* const library_;
  };

 private:
  OpenBlasLibrary() = default;
  static const OpenBlasLibrary* load();

  using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int rows, int columns,
                         int inner, float factor, const float* a, int stride_a, const float* b,
                         int stride_b, float old_factor, float* result, int stride_result);
  Sgemm sgemm_ = nullptr;
  int (*get_threads_)() = nullptr;
  void (*set_threads_)(int) = nullptr;
};

}  // namespace nestor::embed
