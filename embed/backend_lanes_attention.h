// Attention of the tiled backends over `L`, sixteen floats at a time (backend_lanes_kernels.h says
// what L is and what may not be done to it): queries, keys and values out of their joint product,
// and the softmax. The products themselves are each backend's own.
#pragma once

#include <cstdint>

#include "embed/backend_lanes_rows.h"
#include "embed/tiled_backend.h"

namespace nestor::embed::lanes {

// One head after its norm, its strips beginning at `x`, turned by the angles of its position: pairs
// (i, i + width / 2). Goes to `out` by steps of 32 values, `out_step` apart.
template <typename L>
inline void turn_head(const HeadsTask& t, const std::uint16_t* x, float inverse, const float* scale,
                      std::int64_t position, std::uint16_t* out, std::int64_t out_step) {
  const std::int64_t strip = t.joint.strip;
  const std::int64_t half = t.head_width / 2;
  const float* cosine = t.cosine + position * half;
  const float* sine = t.sine + position * half;
  const auto factor = L::splat(inverse);
  const std::uint16_t* y = x + half / kPanelColumns * strip;
  std::uint16_t* far = out + half / kPanelColumns * out_step;
  for (std::int64_t i = 0; i < half; i += kPanelColumns) {
    typename L::F a[2];
    typename L::F b[2];
    L::from_bf16_pairs(x, a[0], a[1]);
    L::from_bf16_pairs(y, b[0], b[1]);
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const std::int64_t at = i + j * kLanes;
      const auto near_value = L::mul(L::mul(a[j], factor), L::load(scale + at));
      const auto far_value = L::mul(L::mul(b[j], factor), L::load(scale + half + at));
      const auto c = L::load(cosine + at);
      const auto s = L::load(sine + at);
      a[j] = L::negative_fma(far_value, s, L::mul(near_value, c));
      b[j] = L::fma(far_value, c, L::mul(near_value, s));
    }
    L::to_bf16_both(out, a[0], a[1]);
    L::to_bf16_both(far, b[0], b[1]);
    x += strip;
    y += strip;
    out += out_step;
    far += out_step;
  }
}

// Queries of a token, then its key into `key`, from the first strip of each. Lengths first, a few
// heads together: what one waits for the others fill.
template <typename L>
inline void turn_heads(const HeadsTask& t, const std::uint16_t* row, std::int64_t token,
                       std::uint16_t* key) {
  constexpr std::int64_t kTogether = 4;
  const std::int64_t steps = t.head_width / 32;
  const std::int64_t head_values = steps * t.joint.strip;
  for (std::int64_t first = 0; first <= t.head_count; first += kTogether) {
    const std::int64_t end =
        first + kTogether < t.head_count + 1 ? first + kTogether : t.head_count + 1;
    float inverse[kTogether];
    for (std::int64_t head = first; head < end; ++head) {
      inverse[head - first] =
          inverse_length<L>(row + head * head_values, t.joint.strip, t.head_width, t.epsilon);
    }
    for (std::int64_t head = first; head < end; ++head) {
      const bool is_query = head < t.head_count;
      std::uint16_t* to = is_query
                              ? reinterpret_cast<std::uint16_t*>(
                                    t.queries + input_offset(token * t.head_count + head, 0, steps))
                              : key;
      turn_head<L>(t, row + head * head_values, inverse[head - first],
                   is_query ? t.query_scale : t.key_scale, t.position + token, to,
                   is_query ? kTileBytes / 2 : kStepBytes / 2);
    }
  }
}

// The values of the tokens `index` (even) and index + 1 (null: the text ends) into their row.
template <typename L>
inline void interleave_values(const HeadsTask& t, const std::uint16_t* first,
                              const std::uint16_t* second, std::int64_t index,
                              std::uint8_t* panels) {
  std::uint8_t* to = panels + index / 32 * kPanelStepBytes + index % 32 / 2 * 64;
  std::int64_t from = 0;
  for (std::int64_t i = 0; i < t.head_width; i += kPanelColumns) {
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t at = from + half * kLanes;
      L::interleave(reinterpret_cast<std::uint32_t*>(to + half * kTileBytes), first + at,
                    second == nullptr ? nullptr : second + at);
    }
    from += t.joint.strip;
    to += t.key_steps * kPanelStepBytes;
  }
}

// Rows of the values' panels from token `begin` to `end` of the step, even numbers, are zeros: what
// lies beyond the text is multiplied by weights of 0.
[[maybe_unused]] static inline void clear_values(const HeadsTask& t, std::int64_t begin,
                                                 std::int64_t end) {
  if (begin >= end) return;
  for (std::int64_t panel = 0; panel < t.head_width / kPanelColumns; ++panel) {
    std::uint8_t* step =
        t.values + (panel * t.key_steps + t.position / 32) * kPanelStepBytes + begin / 2 * 64;
    const auto bytes = static_cast<std::size_t>((end - begin) / 2 * 64);
    __builtin_memset(step, 0, bytes);
    __builtin_memset(step + kTileBytes, 0, bytes);
  }
}

// Up to 16 tokens from `begin`: their queries, values, and half a panel of keys.
template <typename L>
inline void make_half_heads(const HeadsTask& t, std::int64_t begin) {
  const std::int64_t end = begin + kLanes < t.tokens ? begin + kLanes : t.tokens;
  const std::int64_t steps = t.head_width / 32;
  const std::int64_t head_values = steps * t.joint.strip;
  auto* keys = reinterpret_cast<std::uint16_t*>(t.scratch);  // (16, head_width)
  for (std::int64_t token = begin; token < end; ++token) {
    const std::uint16_t* row = row_of(t.joint, t.first_row + token);
    turn_heads<L>(t, row, token, keys + (token - begin) * t.head_width);
    if (token % 2 != 0) continue;
    const std::uint16_t* next = row_of(t.joint, t.first_row + token + 1);
    const std::int64_t values = (t.head_count + 1) * head_values;
    interleave_values<L>(t, row + values, token + 1 < t.tokens ? next + values : nullptr,
                         t.position + token, t.values);
  }
  for (std::int64_t i = (end - begin) * t.head_width; i < kLanes * t.head_width; i += kLanes) {
    L::zero_bf16(keys + i);
  }
  const std::int64_t position = t.position + begin;
  std::uint8_t* panel = t.keys + position / kPanelColumns * steps * kPanelStepBytes +
                        position % kPanelColumns / 16 * kTileBytes;
  for (std::int64_t step = 0; step < steps; ++step) {
    L::transpose(reinterpret_cast<const std::uint32_t*>(keys + step * 32), t.head_width / 2,
                 reinterpret_cast<std::uint32_t*>(panel + step * kPanelStepBytes));
  }
}

template <typename L>
void make_heads(const HeadsTask& t) {
  const std::int64_t in_step = t.position % 32;
  if (t.ends_text) clear_values(t, (in_step + t.tokens + 1) / 2 * 2, 32);
  for (std::int64_t begin = 0; begin < t.tokens; begin += kLanes) make_half_heads<L>(t, begin);
}

// The 32 scores of one row in one panel: scores of keys [begin, end) of them, `other` elsewhere.
template <typename L>
inline void load_scores(const float* scores, std::int64_t begin, std::int64_t end, float other,
                        typename L::F& low, typename L::F& high) {
  low = L::keep(L::load(scores), begin, end, other);
  high = L::keep(L::load(scores + kLanes), begin - kLanes, end - kLanes, other);
}

template <typename L>
inline void softmax_row(const SoftmaxTask& t, std::int64_t r) {
  const std::int64_t begin = t.begins[r];
  const std::int64_t end = t.ends[r];
  const std::int64_t first = begin / kPanelColumns;
  const std::int64_t last = (end + kPanelColumns - 1) / kPanelColumns;
  const float* scores =
      t.scores + r / kRowBlock * t.panel_count * kBlockValues + r % kRowBlock * kPanelColumns;
  std::uint8_t* weights = t.weights + input_offset(r, 0, t.panel_count);
  auto largest = L::splat(-3.0e38F);
  auto largest_high = largest;
  for (std::int64_t panel = first; panel < last; ++panel) {
    typename L::F low;
    typename L::F high;
    const std::int64_t at = panel * kPanelColumns;
    load_scores<L>(scores + panel * kBlockValues, begin - at, end - at, -3.0e38F, low, high);
    largest = L::max(largest, low);
    largest_high = L::max(largest_high, high);
  }
  const auto most = L::splat(L::largest(L::max(largest, largest_high)));
  auto sum = L::splat(0);
  auto sum_high = sum;
  for (std::int64_t panel = 0; panel < t.panel_count; ++panel) {
    auto* out = reinterpret_cast<std::uint16_t*>(weights + panel * kTileBytes);
    if (panel < first || panel >= last) {
      L::zero_bf16(out);
      L::zero_bf16(out + kLanes);
      continue;
    }
    const std::int64_t at = panel * kPanelColumns;
    const float* from = scores + panel * kBlockValues;
    const auto low = L::keep(exp2_of<L>(L::sub(L::load(from), most)), begin - at, end - at, 0.0F);
    const auto high = L::keep(exp2_of<L>(L::sub(L::load(from + kLanes), most)), begin - at - kLanes,
                              end - at - kLanes, 0.0F);
    sum = L::add(sum, low);
    sum_high = L::add(sum_high, high);
    L::to_bf16_both(out, low, high);
  }
  t.inverse_sums[r] = 1.0F / L::sum(L::add(sum, sum_high));
}

template <typename L>
void softmax(const SoftmaxTask& t) {
  for (std::int64_t row = 0; row < t.rows; ++row) softmax_row<L>(t, row);
}

}  // namespace nestor::embed::lanes
