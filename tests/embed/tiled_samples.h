// Seeded random input for the tiled kernels: matrices in panels, rows of a linear layer's input.
// Threads: values.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "embed/backend.h"
#include "embed/quantize.h"
#include "embed/tiled_weights.h"
#include "embed/tiled_workspace.h"

namespace nestor::testing {

inline std::vector<float> random_floats(std::int64_t count, std::uint32_t seed, float scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

inline std::int64_t round_up(std::int64_t value, std::int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Memory as the encoder gives it to kernels: aligned, and cleared.
template <typename T>
embed::AlignedBuffer<T> aligned(std::int64_t count) {
  embed::AlignedBuffer<T> buffer;
  buffer.reserve(count);
  return buffer;
}
inline embed::AlignedBuffer<float> aligned_copy(const std::vector<float>& values) {
  auto buffer = aligned<float>(static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), buffer.data());
  return buffer;
}

// The values as kernels hand them on.
inline embed::AlignedBuffer<std::uint16_t> aligned_halves(const std::vector<float>& values) {
  auto buffer = aligned<std::uint16_t>(static_cast<std::int64_t>(values.size()));
  std::transform(values.begin(), values.end(), buffer.data(), embed::to_bf16);
  return buffer;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Weights (columns, inner) in panels, with scales, sums and biases for int8.
class SampleMatrix {
 public:
  SampleMatrix(embed::Precision precision, std::int64_t columns, std::int64_t inner,
               const std::vector<float>& weights, const std::vector<float>& biases)
      : precision_(precision) {
    const std::int64_t step = precision == embed::Precision::kInt8 ? 64 : 32;
    layout_.columns = columns;
    layout_.inner = inner;
    layout_.panel_count = round_up(columns, embed::kPanelColumns) / embed::kPanelColumns;
    layout_.steps = round_up(inner, step) / step;
    const std::int64_t vector = layout_.panel_count * embed::kPanelColumns * 4;
    layout_.scales = layout_.panel_count * layout_.panel_bytes();
    layout_.sums = layout_.scales + vector;
    layout_.biases = layout_.sums + vector;
    memory_ = aligned<std::uint8_t>(layout_.biases + vector);
    auto* bytes = reinterpret_cast<char*>(memory_.data());
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto row = std::span(weights).subspan(static_cast<std::size_t>(column * inner),
                                                  static_cast<std::size_t>(inner));
      embed::place_column(layout_, precision, column, row, {}, bytes);
      if (precision != embed::Precision::kInt8) continue;
      std::memcpy(bytes + layout_.biases + column * 4, &biases[static_cast<std::size_t>(column)],
                  4);
    }
  }
  SampleMatrix(embed::Precision precision, std::int64_t columns, std::int64_t inner,
               std::uint32_t seed)
      : SampleMatrix(precision, columns, inner, random_floats(columns * inner, seed),
                     random_floats(columns, seed + 1)) {}

  [[nodiscard]] const embed::TiledMatrixLayout& layout() const { return layout_; }
  [[nodiscard]] embed::TiledMatrix view() const {
    embed::TiledMatrix matrix;
    matrix.panels = memory_.data();
    if (precision_ == embed::Precision::kInt8) {
      matrix.scales = reinterpret_cast<const float*>(memory_.data() + layout_.scales);
      matrix.sums = reinterpret_cast<const std::int32_t*>(memory_.data() + layout_.sums);
      matrix.biases = reinterpret_cast<const float*>(memory_.data() + layout_.biases);
    }
    matrix.panel_count = layout_.panel_count;
    matrix.steps = layout_.steps;
    return matrix;
  }
  // The int8 value that is stored.
  [[nodiscard]] int at(std::int64_t column, std::int64_t inner) const {
    return static_cast<std::int8_t>(
        memory_.data()[embed::panel_offset(layout_, precision_, column, inner)]);
  }

 private:
  embed::Precision precision_;
  embed::TiledMatrixLayout layout_;
  embed::AlignedBuffer<std::uint8_t> memory_;
};

// The input rows of a linear layer, as a backend wants them.
class SampleRows {
 public:
  // `x` (rows, inner), rounded to bf16 first; int8 with `fine` as write_input makes them.
  SampleRows(const embed::TiledBackend& backend, std::int64_t rows, std::int64_t inner, bool fine,
             const std::vector<float>& x)
      : rows_(rows) {
    const std::int64_t step = backend.precision == embed::Precision::kInt8 ? 64 : 32;
    steps_ = round_up(inner, step) / step;
    data_ =
        aligned<std::uint8_t>(round_up(2 * rows, embed::kRowBlock) * steps_ * embed::kStepBytes);
    scales_.resize(static_cast<std::size_t>(round_up(2 * rows, embed::kRowBlock)));
    fine_ = fine;
    const auto halves = aligned_halves(x);
    auto scratch = aligned<float>(inner);
    backend.make_input({.rows = rows,
                        .width = inner,
                        .x = halves.data(),
                        .rotation = {},
                        .out = view(),
                        .out_steps = steps_,
                        .scratch = scratch.data()});
  }
  [[nodiscard]] embed::TiledRows view() { return {data_.data(), scales_.data(), fine_}; }
  [[nodiscard]] const std::vector<float>& scales() const { return scales_; }
  // What is stored, row by row, without the backend's bias on the bytes.
  [[nodiscard]] std::vector<std::uint8_t> bytes(std::uint8_t input_bias) const {
    std::vector<std::uint8_t> result;
    for (std::int64_t row = 0; row < rows_ * (fine_ ? 2 : 1); ++row) {
      for (std::int64_t at = 0; at < steps_ * embed::kStepBytes; ++at) {
        result.push_back(data_.data()[embed::input_offset(row, at, steps_)] ^ input_bias);
      }
    }
    return result;
  }

 private:
  std::int64_t rows_ = 0;
  std::int64_t steps_ = 0;
  bool fine_ = false;
  embed::AlignedBuffer<std::uint8_t> data_;
  std::vector<float> scales_;
};

}  // namespace nestor::testing
