// Rows of the tiled backends over `L`, sixteen floats at a time (backend_lanes_kernels.h says what
// L is and what may not be done to it): bf16 strips read, norms, rotated and quantised inputs of
// linear layers.
#pragma once

#include <cstdint>

#include "embed/backend_lanes_math.h"
#include "embed/tiled_backend.h"

namespace nestor::embed::lanes {

// Sixteen values of a fine pair: rounded, and what the rounding left.
template <typename L>
inline void write_fine(typename L::F value, std::uint8_t* out) {
  L::to_int8(out, value);
  const auto left = L::sub(value, L::round(value));
  L::to_int8(out + kStepBytes, L::mul(left, L::splat(kFineSteps)));
}

// One row of magnitudes up to `most`, times `unit`, as the input of a linear layer, row `index` of
// `to`.
template <typename L>
inline void write_int8(const float* x, float most, float unit, std::int64_t width,
                       std::int64_t steps, const TiledRows& to, std::int64_t index) {
  const auto factor = L::splat(most > 0 ? 127.0F / most : 0.0F);
  to.scales[index] = most / 127.0F * unit;
  std::uint8_t* out = to.data + input_offset(to.fine ? 2 * index : index, 0, steps);
  const auto scaled = [&](std::int64_t i) { return L::mul(L::load(x + i), factor); };
  std::int64_t i = 0;
  for (; !to.fine && i + kStepBytes <= width; i += kStepBytes) {
    L::to_int8_step(out + i / kStepBytes * kTileBytes, scaled(i), scaled(i + kLanes),
                    scaled(i + 2 * kLanes), scaled(i + 3 * kLanes));
  }
  for (; i < width; i += kLanes) {
    std::uint8_t* at = out + input_offset(0, i, steps);
    // The rows of a fine pair are neighbours in one tile.
    to.fine ? write_fine<L>(scaled(i), at) : L::to_int8(at, scaled(i));
  }
  for (; i < steps * kStepBytes; ++i) {
    out[input_offset(0, i, steps)] = L::kByteBias;
    if (to.fine) out[input_offset(1, i, steps)] = L::kByteBias;
  }
}

template <typename L>
inline void write_bf16(const float* x, float unit, std::int64_t width, std::int64_t steps,
                       const TiledRows& to, std::int64_t index) {
  std::uint8_t* out = to.data + input_offset(index, 0, steps);
  const auto factor = L::splat(unit);
  for (std::int64_t i = 0; i < width; i += kLanes) {
    L::to_bf16(reinterpret_cast<std::uint16_t*>(out + input_offset(0, 2 * i, steps)),
               L::mul(L::load(x + i), factor));
  }
  for (std::int64_t i = 2 * width; i < steps * kStepBytes; ++i) out[input_offset(0, i, steps)] = 0;
}

// The row that load(i, slot) gives, rotated where int8, into `out`; gives its largest magnitude.
template <typename L, Precision P, typename Load>
inline float rotate_row(const Load& load, std::int64_t width, const RotationSteps& rotation,
                        float* out) {
  if constexpr (P == Precision::kInt8) {
    rotate_blocks<L>(load, width, rotation.block, out);
    return mix_thirds<L>(out, width, rotation);
  } else {
    rotate_blocks<L>(load, width, 1, out);
    return 0;
  }
}

// Rotated rows on their way to the input of a linear layer, kRowsTogether of them: what one waits
// for, its length or its largest value, the others fill.
struct RotatedRows {
  std::int64_t count;
  float factors[kRowsTogether];  // of a branch
  float most[kRowsTogether];
  float units[kRowsTogether];
};

template <typename L, Precision P>
inline void write_rows(const RotatedRows& rows, const float* rotated, std::int64_t width,
                       std::int64_t steps, const TiledRows& to, std::int64_t first) {
  for (std::int64_t k = 0; k < rows.count; ++k, rotated += width) {
    if constexpr (P == Precision::kInt8) {
      write_int8<L>(rotated, rows.most[k], rows.units[k], width, steps, to, first + k);
    } else {
      write_bf16<L>(rotated, rows.units[k], width, steps, to, first + k);
    }
  }
}

[[maybe_unused]] static inline const std::uint16_t* row_of(const HalfRows& rows, std::int64_t row) {
  return rows.data + half_offset(rows.order, row);
}

// One row in strips, read vector by vector, each once and in order; slot is the vector's number
// modulo 4.
template <typename L, HalfOrder O>
class HalfReader {
 public:
  HalfReader(const std::uint16_t* row, std::int64_t strip) : at_(row), strip_(strip) {}

  typename L::F load(int slot) {
    if constexpr (O == HalfOrder::kPlain) {
      const auto value = L::from_bf16(at_);
      at_ += strip_;
      return value;
    } else {
      if (slot % 2 != 0) return high_;
      typename L::F low;
      L::from_bf16_pairs(at_, low, high_);
      at_ += strip_;
      return low;
    }
  }

 private:
  const std::uint16_t* at_;
  const std::int64_t strip_;
  typename L::F high_;
};

template <typename L>
using PairReader = HalfReader<L, HalfOrder::kPairs>;

// 1 / sqrt(mean(x^2) + epsilon) of a row of `width` values in pairs.
template <typename L>
inline float inverse_length(const std::uint16_t* row, std::int64_t strip, std::int64_t width,
                            float epsilon) {
  PairReader<L> reader(row, strip);
  return inverse_length_of<L>([&](std::int64_t, int slot) { return reader.load(slot); }, width,
                              epsilon);
}

// stream(width) += norm(branch) * scale.
template <typename L>
inline void add_normed(const NormTask& t, std::int64_t row) {
  float* stream = t.stream + row * t.width;
  const std::uint16_t* half_row = row_of(t.branch, t.first_row + row);
  const auto factor = L::splat(inverse_length<L>(half_row, t.branch.strip, t.width, t.epsilon));
  PairReader<L> branch(half_row, t.branch.strip);
  for (std::int64_t i = 0, slot = 0; i < t.width; i += kLanes, ++slot) {
    const auto scaled = L::mul(branch.load(static_cast<int>(slot % 4)), factor);
    L::store(stream + i, L::fma(scaled, L::load(t.post_scale + i), L::load(stream + i)));
  }
}

// Row `row` of a norm task with a pre_scale, the k-th of those at work: the branch is added, the
// length taken and the rotation begun in one pass.
template <typename L, Precision P, bool Branch>
inline void norm_row(const NormTask& t, std::int64_t row, std::int64_t k, RotatedRows& rows) {
  float* stream = t.stream + row * t.width;
  const float* post_scale = t.post_scale;
  const float* pre_scale = t.pre_scale;
  const auto factor = L::splat(rows.factors[k]);
  PairReader<L> branch(Branch ? row_of(t.branch, t.first_row + row) : nullptr, t.branch.strip);
  typename L::F sums[4] = {L::splat(0), L::splat(0), L::splat(0), L::splat(0)};
  const auto load = [&sums, &branch, factor, stream, post_scale, pre_scale](std::int64_t i,
                                                                            int slot) {
    auto value = L::load(stream + i);
    if constexpr (Branch) {
      value = L::fma(L::mul(branch.load(slot), factor), L::load(post_scale + i), value);
      L::store(stream + i, value);
    }
    sums[slot] = L::fma(value, value, sums[slot]);
    return L::mul(value, L::load(pre_scale + i));
  };
  rows.most[k] = rotate_row<L, P>(load, t.width, t.rotation, t.scratch + k * t.width);
  // The row's own factor commutes with the rotation and rides on its scale.
  rows.units[k] = inverse_length_from<L>(sums, t.width, t.epsilon);
}

template <typename L, Precision P, bool Branch>
inline void norm_rows(const NormTask& t) {
  RotatedRows rows;
  for (std::int64_t row = 0; row < t.rows; row += rows.count) {
    rows.count = t.rows - row < kRowsTogether ? t.rows - row : kRowsTogether;
    for (std::int64_t k = 0; Branch && k < rows.count; ++k) {
      rows.factors[k] = inverse_length<L>(row_of(t.branch, t.first_row + row + k), t.branch.strip,
                                          t.width, t.epsilon);
    }
    for (std::int64_t k = 0; k < rows.count; ++k) norm_row<L, P, Branch>(t, row + k, k, rows);
    write_rows<L, P>(rows, t.scratch, t.width, t.out_steps, t.out, t.first_row + row);
  }
}

template <typename L, Precision P>
void norm(const NormTask& t) {
  if (t.pre_scale != nullptr) {
    t.branch.data != nullptr ? norm_rows<L, P, true>(t) : norm_rows<L, P, false>(t);
  } else if (t.branch.data != nullptr) {
    for (std::int64_t row = 0; row < t.rows; ++row) add_normed<L>(t, row);
  }
}

template <typename L, Precision P, HalfOrder O>
inline void make_inputs(const InputTask& t) {
  RotatedRows rows;
  for (std::int64_t row = 0; row < t.rows; row += rows.count) {
    rows.count = t.rows - row < kRowsTogether ? t.rows - row : kRowsTogether;
    for (std::int64_t k = 0; k < rows.count; ++k) {
      HalfReader<L, O> x(row_of(t.x, t.first_row + row + k), t.x.strip);
      rows.most[k] = rotate_row<L, P>([&x](std::int64_t, int slot) { return x.load(slot); },
                                      t.width, t.rotation, t.scratch + k * t.width);
      rows.units[k] = 1.0F;
    }
    write_rows<L, P>(rows, t.scratch, t.width, t.out_steps, t.out, t.first_row + row);
  }
}

template <typename L, Precision P>
void make_input(const InputTask& t) {
  t.x.order == HalfOrder::kPairs ? make_inputs<L, P, HalfOrder::kPairs>(t)
                                 : make_inputs<L, P, HalfOrder::kPlain>(t);
}

}  // namespace nestor::embed::lanes
