// The definition of the tiled kernels: plain loops in one fixed order, on any processor.
#include "embed/backend_lanes_kernels.h"
#include "embed/backend_lanes_portable.h"
#include "embed/tiled_backend.h"

namespace nestor::embed {
namespace {

using Lanes = PortableLanes;

// The 16 words of one column in one step of a panel lie 64 bytes apart.
const std::uint8_t* column_of(const std::uint8_t* panel_step, std::int64_t column) {
  return panel_step + column / 16 * 1024 + column % 16 * 4;
}

std::int32_t sum_int8(const std::uint8_t* a, const std::uint8_t* panel, std::int64_t column,
                      std::int64_t steps) {
  std::int32_t sum = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::uint8_t* b = column_of(panel + step * kPanelStepBytes, column);
    for (int i = 0; i < 64; ++i) {
      sum += static_cast<std::int32_t>(static_cast<std::int8_t>(a[step * kTileBytes + i])) *
             static_cast<std::int32_t>(static_cast<std::int8_t>(b[i / 4 * 64 + i % 4]));
    }
  }
  return sum;
}

// As TDPBF16PS sums: over the pairs of a step the even and the odd halves apart, then their sum
// onto the total. Source: Intel's instruction reference, TDPBF16PS.
float sum_bf16(const std::uint16_t* a, const std::uint8_t* panel, std::int64_t column,
               std::int64_t steps) {
  float total = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::uint8_t* b = column_of(panel + step * kPanelStepBytes, column);
    float even = 0;
    float odd = 0;
    for (int word = 0; word < 16; ++word) {
      std::uint16_t pair[2];
      std::memcpy(pair, b + word * 64, sizeof pair);
      even = __builtin_fmaf(lanes::widen_bf16(a[step * kTileBytes / 2 + word * 2]),
                            lanes::widen_bf16(pair[0]), even);
      odd = __builtin_fmaf(lanes::widen_bf16(a[step * kTileBytes / 2 + word * 2 + 1]),
                           lanes::widen_bf16(pair[1]), odd);
    }
    total += even + odd;
  }
  return total;
}

template <Precision P, bool Gelu, bool Fine>
void multiply(const LinearTask& t) {
  const lanes::Finish<Lanes, P, Gelu, Fine> finish{t};
  constexpr std::int64_t kEach = finish.kRowsEach;
  for (std::int64_t panel = t.panel_begin; panel < t.panel_end; ++panel) {
    const std::uint8_t* b = t.b.panels + panel * t.b.steps * kPanelStepBytes;
    for (std::int64_t row = 0; row < t.rows; ++row) {
      const std::uint8_t* a = t.a.data + input_offset(row * kEach, 0, t.b.steps);
      std::int32_t integers[kEach * kPanelColumns];
      float floats[kPanelColumns];
      for (std::int64_t column = 0; column < kPanelColumns; ++column) {
        if constexpr (P == Precision::kInt8) {
          for (std::int64_t each = 0; each < kEach; ++each) {
            integers[each * kPanelColumns + column] =
                sum_int8(a + each * kStepBytes, b, column, t.b.steps);
          }
        } else {
          floats[column] =
              sum_bf16(reinterpret_cast<const std::uint16_t*>(a), b, column, t.b.steps);
        }
      }
      if constexpr (P == Precision::kInt8) {
        finish.rows(integers, row, 1, panel);
      } else {
        finish.rows(floats, row, 1, panel);
      }
    }
  }
}

template <Precision P, bool Gelu>
void linear(const LinearTask& t) {
  if (P == Precision::kInt8 && t.a.fine) {
    multiply<P, Gelu, P == Precision::kInt8>(t);
  } else {
    multiply<P, Gelu, false>(t);
  }
}

template <typename Finish>
void multiply_attention(const Bf16Task& t, const Finish& finish) {
  for (std::int64_t panel = 0; panel < t.panel_count; ++panel) {
    for (std::int64_t row = 0; row < t.rows; ++row) {
      const std::uint8_t* a = t.a + input_offset(row, 0, t.steps);
      float sums[kPanelColumns];
      for (std::int64_t column = 0; column < kPanelColumns; ++column) {
        sums[column] = sum_bf16(reinterpret_cast<const std::uint16_t*>(a),
                                t.panels + panel * t.panel_stride, column, t.steps);
      }
      finish.rows(sums, row, 1, panel);
    }
  }
}

void scores(const ScoresTask& t) { multiply_attention(t.product, lanes::FinishScores<Lanes>{t}); }

void weighted_values(const ValuesTask& t) {
  multiply_attention(t.product, lanes::FinishValues<Lanes>{t});
}

template <Precision P>
constexpr TiledBackend kTable = lanes::table_of<Lanes, P>("scalar",
                                                          {linear<P, false>, linear<P, true>,
                                                           scores, weighted_values});

}  // namespace

const TiledBackend* scalar_tables(Precision precision) {
  return precision == Precision::kInt8   ? &kTable<Precision::kInt8>
         : precision == Precision::kBf16 ? &kTable<Precision::kBf16>
                                         : nullptr;
}

}  // namespace nestor::embed
