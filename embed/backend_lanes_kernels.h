// The element-wise kernels of the tiled backends, written once over `L`, sixteen floats at a time.
// Every instruction set brings its own L (backend_lanes_*.h) with the same sixteen-lane meaning, so
// that the same text gives the same bits on all of them: no operation here may be reordered, fused
// or approximated by one of them alone. Files that include this are compiled with
// -ffp-contract=off.
//
// L is a type of an unnamed namespace: every instance has internal linkage, and code made for one
// instruction set never reaches a program's common functions.
//
// Rows are (rows, width) floats, width a multiple of kLanes.
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

// The row that load(i, slot) gives, rotated where int8, as row `index` of `to`; unit() is asked
// once all of it was loaded.
template <typename L, Precision P, typename Load, typename Unit>
inline void write_input(const Load& load, const Unit& unit, std::int64_t width,
                        const RotationSteps& rotation, float* scratch, std::int64_t steps,
                        const TiledRows& to, std::int64_t index) {
  if constexpr (P == Precision::kInt8) {
    rotate_blocks<L>(load, width, rotation.block, scratch);
    const float most = mix_thirds<L>(scratch, width, rotation);
    write_int8<L>(scratch, most, unit(), width, steps, to, index);
  } else {
    rotate_blocks<L>(load, width, 1, scratch);
    write_bf16<L>(scratch, unit(), width, steps, to, index);
  }
}

// 1 / sqrt(mean(x^2) + epsilon) of bf16.
template <typename L>
inline float inverse_length(const std::uint16_t* x, std::int64_t width, float epsilon) {
  return inverse_length_of<L>([x](std::int64_t i) { return L::from_bf16(x + i); }, width, epsilon);
}

// stream(width) += norm(branch) * scale.
template <typename L>
inline void add_normed(float* stream, const std::uint16_t* branch, const float* scale,
                       std::int64_t width, float epsilon) {
  const auto factor = L::splat(inverse_length<L>(branch, width, epsilon));
  for (std::int64_t i = 0; i < width; i += kLanes) {
    const auto scaled = L::mul(L::from_bf16(branch + i), factor);
    L::store(stream + i, L::fma(scaled, L::load(scale + i), L::load(stream + i)));
  }
}

// One row of a norm task with a pre_scale: the branch is added, the length taken and the rotation
// begun in one pass.
template <typename L, Precision P, bool Branch>
inline void norm_row(const NormTask& t, std::int64_t row) {
  float* stream = t.stream + row * t.width;
  const std::uint16_t* branch = Branch ? t.branch + row * t.width : nullptr;
  const float* post_scale = t.post_scale;
  const float* pre_scale = t.pre_scale;
  auto factor = L::splat(0);
  if constexpr (Branch) factor = L::splat(inverse_length<L>(branch, t.width, t.epsilon));
  typename L::F sums[4] = {L::splat(0), L::splat(0), L::splat(0), L::splat(0)};
  const auto load = [&sums, factor, stream, branch, post_scale, pre_scale](std::int64_t i,
                                                                           int slot) {
    auto value = L::load(stream + i);
    if constexpr (Branch) {
      value = L::fma(L::mul(L::from_bf16(branch + i), factor), L::load(post_scale + i), value);
      L::store(stream + i, value);
    }
    sums[slot] = L::fma(value, value, sums[slot]);
    return L::mul(value, L::load(pre_scale + i));
  };
  // The row's own factor commutes with the rotation and rides on its scale.
  const auto unit = [&] { return inverse_length_from<L>(sums, t.width, t.epsilon); };
  write_input<L, P>(load, unit, t.width, t.rotation, t.scratch, t.out_steps, t.out,
                    t.first_row + row);
}

template <typename L, Precision P>
void norm(const NormTask& t) {
  for (std::int64_t row = 0; row < t.rows; ++row) {
    if (t.pre_scale != nullptr) {
      t.branch != nullptr ? norm_row<L, P, true>(t, row) : norm_row<L, P, false>(t, row);
    } else if (t.branch != nullptr) {
      add_normed<L>(t.stream + row * t.width, t.branch + row * t.width, t.post_scale, t.width,
                    t.epsilon);
    }
  }
}

template <typename L, Precision P>
void make_input(const InputTask& t) {
  for (std::int64_t row = 0; row < t.rows; ++row) {
    const std::uint16_t* x = t.x + row * t.width;
    write_input<L, P>([x](std::int64_t i, int) { return L::from_bf16(x + i); }, [] { return 1.0F; },
                      t.width, t.rotation, t.scratch, t.out_steps, t.out, t.first_row + row);
  }
}

// Four bytes, or two bf16, of an input.
[[maybe_unused]] static inline std::int32_t word_of(const std::uint8_t* bytes) {
  std::int32_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}

[[maybe_unused]] static inline float widen_bf16(std::uint16_t value) {
  const std::uint32_t bits = static_cast<std::uint32_t>(value) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}

// Norm and rotary embedding of one head: pairs (i, i + width / 2).
template <typename L>
inline void norm_rotate_head(const HeadsTask& t, const std::uint16_t* x, const float* scale,
                             std::int64_t position, std::uint16_t* out) {
  const std::int64_t half = t.head_width / 2;
  const auto factor = L::splat(inverse_length<L>(x, t.head_width, t.epsilon));
  const float* cosine = t.cosine + position * half;
  const float* sine = t.sine + position * half;
  std::int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const auto a = L::mul(L::mul(L::from_bf16(x + i), factor), L::load(scale + i));
    const auto b = L::mul(L::mul(L::from_bf16(x + half + i), factor), L::load(scale + half + i));
    const auto c = L::load(cosine + i);
    const auto s = L::load(sine + i);
    L::to_bf16(out + i, L::fma(a, c, L::negate(L::mul(b, s))));
    L::to_bf16(out + half + i, L::fma(b, c, L::mul(a, s)));
  }
  if (i < half) {  // a head of sixteen
    const float f = L::first(factor);
    for (; i < half; ++i) {
      const float a = widen_bf16(x[i]) * f * scale[i];
      const float b = widen_bf16(x[half + i]) * f * scale[half + i];
      const float negative = -(b * sine[i]);
      const float positive = a * sine[i];
      out[i] = L::bf16_of(__builtin_fmaf(a, cosine[i], negative));
      out[half + i] = L::bf16_of(__builtin_fmaf(b, cosine[i], positive));
    }
  }
  for (i = t.head_width; i < t.head_steps * 32; ++i) out[i] = 0;
}

// One key, bf16, into its column of the panels: 32-bit words of two dimensions.
[[maybe_unused]] static inline void scatter_key(const std::uint16_t* key, std::int64_t index,
                                                std::int64_t head_steps, std::uint8_t* panels) {
  std::uint8_t* panel = panels + index / kPanelColumns * head_steps * kPanelStepBytes;
  auto* column =
      reinterpret_cast<std::uint32_t*>(panel + index % kPanelColumns / 16 * 1024) + index % 16;
  const auto* words = reinterpret_cast<const std::uint32_t*>(key);
  for (std::int64_t step = 0; step < head_steps; ++step) {
    for (int row = 0; row < 16; ++row) column[row * 16] = words[row];
    words += 16;
    column += kPanelStepBytes / 4;
  }
}

// The values of the tokens `index` (even) and index + 1 (null: the text ends) into their row.
template <typename L>
inline void interleave_values(const HeadsTask& t, const std::uint16_t* first,
                              const std::uint16_t* second, std::int64_t index,
                              std::uint8_t* panels) {
  const std::int64_t step = index / 32;
  const std::int64_t row = index % 32 / 2;
  for (std::int64_t i = 0; i < t.head_width; i += kLanes) {
    std::uint8_t* panel = panels + i / kPanelColumns * t.key_steps * kPanelStepBytes;
    std::uint8_t* to = panel + step * kPanelStepBytes + i % kPanelColumns / 16 * 1024 + row * 64;
    L::interleave(reinterpret_cast<std::uint32_t*>(to), first + i,
                  second == nullptr ? nullptr : second + i);
  }
}

template <typename L>
void make_heads(const HeadsTask& t) {
  const std::int64_t padded = t.head_steps * 32;
  const std::int64_t head_panels = (t.head_width + kPanelColumns - 1) / kPanelColumns;
  auto* key = reinterpret_cast<std::uint16_t*>(t.scratch);
  if (t.tokens < 32) {  // what lies beyond the text is multiplied by weights of 0
    for (std::int64_t panel = 0; panel < head_panels; ++panel) {
      __builtin_memset(t.values + (panel * t.key_steps + t.position / 32) * kPanelStepBytes, 0,
                       kPanelStepBytes);
    }
  }
  for (std::int64_t token = 0; token < t.tokens; ++token) {
    const std::uint16_t* row = t.joint + token * t.joint_stride;
    const std::int64_t position = t.position + token;
    for (std::int64_t head = 0; head < t.head_count; ++head) {
      norm_rotate_head<L>(t, row + head * t.head_width, t.query_scale, position,
                          t.queries + (token * t.head_count + head) * padded);
    }
    const std::uint16_t* keys = row + t.head_count * t.head_width;
    norm_rotate_head<L>(t, keys, t.key_scale, position, key);
    scatter_key(key, position, t.head_steps, t.keys);
    if (token % 2 != 0) continue;
    const std::uint16_t* values = keys + t.head_width;
    interleave_values<L>(t, values, token + 1 < t.tokens ? values + t.joint_stride : nullptr,
                         position, t.values);
  }
}

template <typename L>
void softmax(const SoftmaxTask& t) {
  for (std::int64_t r = 0; r < t.rows; ++r) {
    float* row = t.scores + r * t.stride;
    auto* out = reinterpret_cast<std::uint16_t*>(row);
    const std::int64_t begin = t.begins[r];
    const std::int64_t end = t.ends[r];
    const std::int64_t first = begin / kLanes * kLanes;
    auto largest = L::splat(-3.0e38F);
    for (std::int64_t i = first; i < end; i += kLanes) {
      largest = L::max(largest, L::keep(L::load(row + i), begin - i, end - i, -3.0e38F));
    }
    const auto most = L::splat(L::largest(largest));
    auto sum = L::splat(0);
    for (std::int64_t i = 0; i < first; i += kLanes) L::zero_bf16(out + i);
    std::int64_t i = first;
    for (; i < end; i += kLanes) {
      const auto power =
          L::keep(exp2_of<L>(L::sub(L::load(row + i), most)), begin - i, end - i, 0.0F);
      sum = L::add(sum, power);
      L::to_bf16(out + i, power);
    }
    for (; i < t.columns; i += kLanes) L::zero_bf16(out + i);
    t.inverse_sums[r] = 1.0F / L::sum(sum);
  }
}

template <typename L>
void scale_rows(std::int64_t rows, std::int64_t width, const float* x, const float* factors,
                std::uint16_t* result) {
  for (std::int64_t row = 0; row < rows; ++row, x += width, result += width) {
    const auto factor = L::splat(factors[row]);
    for (std::int64_t i = 0; i < width; i += kLanes) {
      L::to_bf16(result + i, L::mul(L::load(x + i), factor));
    }
  }
}

template <typename L>
void norm_sum(std::int64_t rows, std::int64_t width, const float* x, const float* scale,
              float epsilon, float* sum) {
  for (std::int64_t row = 0; row < rows; ++row, x += width) {
    const auto factor = L::splat(inverse_length<L>(x, width, epsilon));
    for (std::int64_t i = 0; i < width; i += kLanes) {
      const auto normed = L::mul(L::load(x + i), factor);
      L::store(sum + i, L::fma(normed, L::load(scale + i), L::load(sum + i)));
    }
  }
}

template <typename L>
void transform(std::int64_t in, std::int64_t out, const float* x, const float* weight, float* y) {
  constexpr std::int64_t kVectors = 8;  // independent sums
  std::int64_t at = 0;
  for (; at + kVectors * kLanes <= out; at += kVectors * kLanes) {
    typename L::F sums[kVectors];
    for (int j = 0; j < kVectors; ++j) sums[j] = L::splat(0);
    for (std::int64_t i = 0; i < in; ++i) {
      const auto value = L::splat(x[i]);
      for (int j = 0; j < kVectors; ++j) {
        sums[j] = L::fma(value, L::load(weight + i * out + at + j * kLanes), sums[j]);
      }
    }
    for (int j = 0; j < kVectors; ++j) L::store(y + at + j * kLanes, sums[j]);
  }
  for (; at < out; at += kLanes) {
    auto sum = L::splat(0);
    for (std::int64_t i = 0; i < in; ++i) {
      sum = L::fma(L::splat(x[i]), L::load(weight + i * out + at), sum);
    }
    L::store(y + at, sum);
  }
}

// What stands behind a product. Int8: sums of column c of row r become
// (sum * column scale) * row scale + column bias.
template <typename L, Precision P, bool Gelu, bool Fine>
struct Finish {
  static constexpr std::int64_t kRowsEach = Fine ? 2 : 1;  // of sums for one of the result
  const LinearTask& t;

  // 16 sums of a row; of a fine pair the second one's lie 32 behind.
  static typename L::F whole_sums(const std::int32_t* sums) {
    if constexpr (!Fine) return L::from_int32(sums);
    return L::fma(L::from_int32(sums + kPanelColumns), L::splat(1.0F / kFineSteps),
                  L::from_int32(sums));
  }
  typename L::F scaled(const std::int32_t* sums, std::int64_t column, typename L::F factor) const {
    return L::fma(L::mul(whole_sums(sums), L::load(t.b.scales + column)), factor,
                  L::load(t.b.biases + column));
  }

  // One row of 32 sums (a fine pair: two), int32 or float.
  void row(const void* sums, std::int64_t r, std::int64_t panel) const {
    const std::int64_t column = panel * kPanelColumns;
    typename L::F left;
    typename L::F right;
    if constexpr (P == Precision::kInt8) {
      const auto* integers = static_cast<const std::int32_t*>(sums);
      const auto factor = L::splat(t.a.scales[r]);
      left = scaled(integers, column, factor);
      right = scaled(integers + kLanes, column + kLanes, factor);
    } else {
      const auto* floats = static_cast<const float*>(sums);
      left = L::load(floats);
      right = L::load(floats + kLanes);
    }
    if constexpr (Gelu) {
      L::to_bf16(t.result + r * t.result_stride + panel * kLanes,
                 L::mul(gelu_tanh<L>(left), right));
    } else {
      std::uint16_t* to = t.result + r * t.result_stride + column;
      if (column + kLanes < t.result_columns) {
        L::to_bf16_both(to, left, right);
      } else {
        L::to_bf16(to, left);
      }
    }
  }
};

// What stands behind a product of attention.
template <typename L>
struct FinishBf16 {
  static constexpr std::int64_t kRowsEach = 1;
  const Bf16Task& t;

  void row(const void* sums, std::int64_t r, std::int64_t panel) const {
    const auto* floats = static_cast<const float*>(sums);
    float* to = t.result + r * t.result_stride + panel * kPanelColumns;
    L::store(to, L::load(floats));
    if (panel * kPanelColumns + kLanes < t.result_columns) {
      L::store(to + kLanes, L::load(floats + kLanes));
    }
  }
};

// The products of one instruction set.
struct Products {
  void (*linear)(const LinearTask&);
  void (*linear_gelu)(const LinearTask&);
  void (*bf16_product)(const Bf16Task&);
};

// The table around them: all else is the same source.
template <typename L, Precision P>
constexpr TiledBackend table_of(const char* name, const Products& products) {
  return {.name = name,
          .precision = P,
          .input_bias = L::kByteBias,
          .linear = products.linear,
          .linear_gelu = products.linear_gelu,
          .bf16_product = products.bf16_product,
          .norm = norm<L, P>,
          .make_input = make_input<L, P>,
          .make_heads = make_heads<L>,
          .softmax = softmax<L>,
          .scale_rows = scale_rows<L>,
          .norm_sum = norm_sum<L>,
          .transform = transform<L>};
}

}  // namespace nestor::embed::lanes
