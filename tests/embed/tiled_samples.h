// Seeded random input for the tiled kernels: matrices in panels, rows of a linear layer's input.
// Threads: values.
#pragma once

#include <doctest/doctest.h>

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

// bf16 values (rows, columns) in strips, as kernels hand them on.
class SampleHalves {
 public:
  SampleHalves(embed::HalfOrder order, std::int64_t rows, std::int64_t columns,
               std::uint16_t fill = 0)
      : rows_(rows), columns_(columns) {
    view_.order = order;
    view_.strip = embed::strip_values(order, rows);
    count_ = round_up(columns, embed::kPanelColumns) / embed::strip_columns(order) * view_.strip;
    memory_ = aligned<std::uint16_t>(count_);
    std::fill_n(memory_.data(), count_, fill);
    view_.data = memory_.data();
  }
  SampleHalves(embed::HalfOrder order, std::int64_t rows, std::int64_t columns,
               const std::vector<float>& values)
      : SampleHalves(order, rows, columns) {
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        at(row, column) = embed::to_bf16(values[static_cast<std::size_t>(row * columns + column)]);
      }
    }
  }

  [[nodiscard]] const embed::HalfRows& view() const { return view_; }
  std::uint16_t& at(std::int64_t row, std::int64_t column) {
    const std::int64_t unit = embed::strip_columns(view_.order);
    const std::int64_t inside = column % unit;
    return memory_
        .data()[embed::half_offset(view_.order, row) + column / unit * view_.strip +
                (view_.order == embed::HalfOrder::kPairs ? embed::place_in_pairs(inside) : inside)];
  }
  // Row by row.
  std::vector<std::uint16_t> values() {
    std::vector<std::uint16_t> result;
    for (std::int64_t row = 0; row < rows_; ++row) {
      for (std::int64_t column = 0; column < columns_; ++column) {
        result.push_back(at(row, column));
      }
    }
    return result;
  }
  // All there is, with what lies between and behind the rows.
  [[nodiscard]] std::vector<std::uint16_t> memory() const {
    return {memory_.data(), memory_.data() + count_};
  }

 private:
  std::int64_t rows_ = 0;
  std::int64_t columns_ = 0;
  std::int64_t count_ = 0;
  embed::HalfRows view_;
  embed::AlignedBuffer<std::uint16_t> memory_;
};

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// Weights (columns, inner) in panels, with scales, sums and biases for int8.
class SampleMatrix {
 public:
  SampleMatrix(embed::Precision precision, std::int64_t columns, std::int64_t inner,
               const std::vector<float>& weights, const std::vector<float>& biases,
               bool in_pairs = true)
      : precision_(precision) {
    layout_.in_pairs = in_pairs;
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
      std::memcpy(bytes + layout_.biases + embed::column_place(layout_, column) * 4,
                  &biases[static_cast<std::size_t>(column)], 4);
    }
  }
  SampleMatrix(embed::Precision precision, std::int64_t columns, std::int64_t inner,
               std::uint32_t seed, bool in_pairs = true)
      : SampleMatrix(precision, columns, inner, random_floats(columns * inner, seed),
                     random_floats(columns, seed + 1), in_pairs) {}

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
  // Of a column: its scale, sum of weights, bias.
  [[nodiscard]] float scale(std::int64_t column) const { return view().scales[place(column)]; }
  [[nodiscard]] std::int32_t sum(std::int64_t column) const { return view().sums[place(column)]; }
  [[nodiscard]] float bias(std::int64_t column) const { return view().biases[place(column)]; }
  // The int8 value that is stored.
  [[nodiscard]] int at(std::int64_t column, std::int64_t inner) const {
    return static_cast<std::int8_t>(
        memory_.data()[embed::panel_offset(layout_, precision_, column, inner)]);
  }

 private:
  [[nodiscard]] std::int64_t place(std::int64_t column) const {
    return embed::column_place(layout_, column);
  }

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
    const SampleHalves halves(embed::HalfOrder::kPlain, rows, inner, x);
    auto scratch = aligned<float>(embed::kRowsTogether * inner);
    backend.make_input({.rows = rows,
                        .width = inner,
                        .x = halves.view(),
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

// Calls check(backend, scalar) for every backend of the precision but the definition.
template <typename Check>
void for_each_backend(embed::Precision precision, const Check& check) {
  for (const embed::TiledBackend* backend : embed::available_tiled_backends(precision)) {
    CAPTURE(std::string(backend->name));
    check(*backend, *embed::scalar_tables(precision));
  }
}

}  // namespace nestor::testing
