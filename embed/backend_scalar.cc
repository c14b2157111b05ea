#include <algorithm>
#include <cmath>

#include "embed/backend.h"

namespace nestor::embed {
namespace {

// Partial sums of a dot product. Their number is part of the definition: element i always goes to
// sum i % kPartialSums, so a result depends on its two rows alone, not on how work was cut. 16
// of them let a compiler use vector registers without changing the order.
constexpr std::int64_t kPartialSums = 16;

float add_partial_sums(const float (&sums)[kPartialSums]) {
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

float dot_product(const float* a, const float* b, std::int64_t count) {
  float sums[kPartialSums] = {};
  const std::int64_t whole = count - count % kPartialSums;
  for (std::int64_t i = 0; i < whole; i += kPartialSums) {
    for (std::int64_t lane = 0; lane < kPartialSums; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  for (std::int64_t i = whole; i < count; ++i) sums[i - whole] += a[i] * b[i];
  return add_partial_sums(sums);
}

void product_transposed(ProductShape shape, float factor, ConstMatrix a, ConstMatrix b,
                        Matrix result) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t column = 0; column < shape.columns; ++column) {
      result.data[row * result.stride + column] =
          factor * dot_product(a.data + row * a.stride, b.data + column * b.stride, shape.inner);
    }
  }
}

void product(ProductShape shape, ConstMatrix a, ConstMatrix b, Matrix result) {
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    float* out = result.data + row * result.stride;
    std::fill(out, out + shape.columns, 0.0F);
    for (std::int64_t i = 0; i < shape.inner; ++i) {
      const float weight = a.data[row * a.stride + i];
      const float* values = b.data + i * b.stride;
      for (std::int64_t column = 0; column < shape.columns; ++column) {
        out[column] += weight * values[column];
      }
    }
  }
}

// 1 / sqrt(mean(x^2) + epsilon).
float inverse_rms(const float* x, std::int64_t width, float epsilon) {
  return 1.0F / std::sqrt(dot_product(x, x, width) / static_cast<float>(width) + epsilon);
}

void rms_norm(std::int64_t rows, std::int64_t width, const float* x, const float* scale,
              float epsilon, float* result) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * width;
    const float inverse = inverse_rms(in, width, epsilon);
    for (std::int64_t i = 0; i < width; ++i) result[row * width + i] = in[i] * inverse * scale[i];
  }
}

void rms_norm_add(std::int64_t rows, std::int64_t width, const float* x, const float* scale,
                  float epsilon, float* sum) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* in = x + row * width;
    const float inverse = inverse_rms(in, width, epsilon);
    for (std::int64_t i = 0; i < width; ++i) sum[row * width + i] += in[i] * inverse * scale[i];
  }
}

void norm_rotate(std::int64_t width, float* head, const float* scale, float epsilon,
                 const float* cosine, const float* sine) {
  const float inverse = inverse_rms(head, width, epsilon);
  const std::int64_t half = width / 2;
  for (std::int64_t i = 0; i < half; ++i) {
    const float first = head[i] * inverse * scale[i];
    const float second = head[i + half] * inverse * scale[i + half];
    head[i] = first * cosine[i] - second * sine[i];
    head[i + half] = second * cosine[i] + first * sine[i];
  }
}

void softmax(std::int64_t rows, std::int64_t columns, const KeyRange* ranges, Matrix scores) {
  for (std::int64_t row = 0; row < rows; ++row) {
    float* values = scores.data + row * scores.stride;
    const KeyRange range = ranges[row];
    const float largest = *std::max_element(values + range.begin, values + range.end);
    float sum = 0;
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      values[i] = std::exp(values[i] - largest);
      sum += values[i];
    }
    for (std::int64_t i = range.begin; i < range.end; ++i) values[i] /= sum;
    std::fill(values, values + range.begin, 0.0F);
    std::fill(values + range.end, values + columns, 0.0F);
  }
}

// Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", the tanh form (gelu_pytorch_tanh).
float gelu_tanh(float x) {
  constexpr float kSqrtTwoOverPi = 0.7978845608028654F;
  return 0.5F * x * (1.0F + std::tanh(kSqrtTwoOverPi * (x + 0.044715F * x * x * x)));
}

void gelu_multiply(std::int64_t rows, std::int64_t width, const float* gate_up, float* result) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* gate = gate_up + row * 2 * width;
    const float* up = gate + width;
    for (std::int64_t i = 0; i < width; ++i) result[row * width + i] = gelu_tanh(gate[i]) * up[i];
  }
}

}  // namespace

const Backend& scalar_backend() {
  static constexpr Backend kBackend = {.name = "scalar",
                                       .product_transposed = product_transposed,
                                       .product = product,
                                       .rms_norm = rms_norm,
                                       .rms_norm_add = rms_norm_add,
                                       .norm_rotate = norm_rotate,
                                       .softmax = softmax,
                                       .gelu_multiply = gelu_multiply};
  return kBackend;
}

}  // namespace nestor::embed
