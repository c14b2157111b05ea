// TiledBackend: the kernels of the bf16 and int8 encoders, over weights packed in tiles. One table
// a precision and instruction set, chosen when a model is opened.
//
// The scalar tables are the definition. The int8 tables agree with it bit for bit: sums of int8
// products are exact, and everything in floating point is one source (backend_lanes_kernels.h)
// compiled for each set with the same order of operations. The bf16 tables agree within the
// tolerance of tests/embed/tiled_backend_test.cc.
//
// A *panel* is 32 columns of a matrix b(columns, inner), laid out as AMX reads it and vector code
// likes it too: for each step of kStepBytes bytes of `inner`, two tiles of 16 columns, each 16 rows
// of 64 bytes; row r holds bytes [4r, 4r + 4) of the step for each of the 16 columns. One step is
// 64 int8 or 32 bf16 values; inner is padded with zeros to whole steps, columns to whole panels.
//
// The inputs of linear layers lie in tiles as well (input_offset), padded with zeros to whole
// steps, and may be *read* (not used) up to the next multiple of kRowBlock rows. What goes from one
// kernel to the next, but for the residual stream, is bf16 in strips (HalfRows): half the traffic,
// and its rounding is lost in that of int8. Kernels allocate nothing, throw nothing, run on the
// calling thread.
// Threads: tables are constants; kernels may run on any number of threads at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "embed/precision.h"
#include "nestor/status.h"

namespace nestor::embed {

inline constexpr std::int64_t kPanelColumns = 32;
inline constexpr std::int64_t kStepBytes = 64;  // of one column in one step
inline constexpr std::int64_t kPanelStepBytes = kPanelColumns * kStepBytes;
inline constexpr std::int64_t kRowBlock = 32;  // rows of `a` worked on at once
// Widths of vectors that kernels touch are multiples of this.
inline constexpr std::int64_t kLanes = 16;

// The orthogonal change of basis in front of an int8 product (rotation.h), as it is run on a row: a
// Walsh-Hadamard transform without its factor on each `block` of channels, then `thirds` stages
// that mix three neighbouring units, the first of `unit` channels, each next one of three times as
// many.
struct RotationSteps {
  std::int64_t block = 1;  // 1: none; else a power of two from 16 to 256
  std::int64_t unit = 1;
  std::int64_t thirds = 0;
};

// A linear layer as it lies in a packed model. gate_up: each panel holds 16 gate columns, then the
// 16 up columns that go with them. Others: column c of 32 stands at place_in_pairs(c), so that
// their results come out in pairs.
struct TiledMatrix {
  const std::uint8_t* panels = nullptr;  // (panel_count, steps, kPanelStepBytes)
  const float* scales = nullptr;         // int8: (panel_count * 32), one a column; bf16: null
  const std::int32_t* sums = nullptr;    // int8: (panel_count * 32), of a column's weights
  const float* biases = nullptr;         // int8: (panel_count * 32), added to a column
  std::int64_t panel_count = 0;
  std::int64_t steps = 0;
};

// The input of a linear layer: rows of int8 with a scale each, or of bf16. Fine int8 rows come in
// pairs, the second what the first one's rounding left, in units of its scale / kFineSteps: 16 bits
// in all.
struct TiledRows {
  std::uint8_t* data = nullptr;  // (rows / 16, steps, 16, kStepBytes), see input_offset
  float* scales = nullptr;       // int8: (rows), one a pair where fine
  bool fine = false;
};
inline constexpr float kFineSteps = 254.0F;

inline constexpr std::int64_t kRowsTogether = 4;  // norms and inputs work on

inline constexpr std::int64_t kTileRows = 16;
inline constexpr std::int64_t kTileBytes = kTileRows * kStepBytes;

// Where byte `at` of row `row` of an input of `steps` steps lies.
constexpr std::int64_t input_offset(std::int64_t row, std::int64_t at, std::int64_t steps) {
  const auto r = static_cast<std::uint64_t>(row);
  const auto a = static_cast<std::uint64_t>(at);
  constexpr auto kRows = static_cast<std::uint64_t>(kTileRows);
  constexpr auto kStep = static_cast<std::uint64_t>(kStepBytes);
  return static_cast<std::int64_t>((r / kRows * static_cast<std::uint64_t>(steps) + a / kStep) *
                                       static_cast<std::uint64_t>(kTileBytes) +
                                   r % kRows * kStep + a % kStep);
}

// How the columns of bf16 values lie in their strips.
enum class HalfOrder {
  kPairs,  // 32 a strip; word i of a row holds columns i and 16 + i, so that one load gives both
  kPlain,  // 16 a strip
};

// bf16 values on their way from kernel to kernel, (rows, columns): a strip of columns of all rows,
// then the next strip. So what a product makes of a panel is one stretch of memory: stores that hop
// from row to row take a third of a product's time.
struct HalfRows {
  std::uint16_t* data = nullptr;
  std::int64_t strip = 0;  // values from strip to strip, strip_values
  HalfOrder order = HalfOrder::kPairs;
};

constexpr std::int64_t strip_columns(HalfOrder order) {
  return order == HalfOrder::kPairs ? kPanelColumns : kLanes;
}
// A strip and a line of cache, for strides of a power of two crowd into few sets of it.
constexpr std::int64_t strip_values(HalfOrder order, std::int64_t rows) {
  return rows * strip_columns(order) + kStepBytes / 2;
}
// Where the first strip of row `row` lies, in values.
constexpr std::int64_t half_offset(HalfOrder order, std::int64_t row) {
  return row * strip_columns(order);
}
// Where a column of 32 in pairs lies in them.
constexpr std::int64_t place_in_pairs(std::int64_t column) {
  return column % kLanes * 2 + column / kLanes;
}

// result(rows, 32 * panels) = a * b^T for panels [panel_begin, panel_end), columns counted from 0;
// with gelu, result(rows, 16 * panels) = gelu_tanh(gate) * up, plain instead of in pairs. `next` is
// what the thread will want of the weights after this, to be fetched ahead.
struct LinearTask {
  std::int64_t rows = 0;  // of the result; fine: half of those of a
  TiledRows a;
  TiledMatrix b;
  std::int64_t panel_begin = 0;
  std::int64_t panel_end = 0;
  HalfRows result;
  const std::uint8_t* next = nullptr;
  std::int64_t next_bytes = 0;
};

// The same in bf16 for attention: a is tiles as input_offset has them, b's panels lie
// `panel_stride` bytes apart.
struct Bf16Task {
  std::int64_t rows = 0;
  const std::uint8_t* a = nullptr;  // (rows / 16, steps, 16, kStepBytes)
  const std::uint8_t* panels = nullptr;
  std::int64_t panel_stride = 0;  // bytes
  std::int64_t panel_count = 0;
  std::int64_t steps = 0;
};

// Queries by keys: float scores in blocks, (rows / 32, panel_count, 32, 32).
struct ScoresTask {
  Bf16Task product;
  float* result = nullptr;
};
inline constexpr std::int64_t kBlockValues = kRowBlock * kPanelColumns;

// Weights by values: row r of the product, times factors[r], goes as bf16 in strips of pairs to
// result.data + places[r].
struct ValuesTask {
  Bf16Task product;
  const float* factors = nullptr;        // (rows)
  const std::int64_t* places = nullptr;  // (rows): half_offset and the strips of heads before
  HalfRows result;
};

// Row by row: stream += norm(branch) * post_scale, where there is a branch; then, where there is a
// pre_scale, out = input of a linear layer made of norm(stream) * pre_scale.
struct NormTask {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  float epsilon = 0;
  float* stream = nullptr;            // (rows, width)
  HalfRows branch;                    // (all rows, width), data null: no branch
  const float* post_scale = nullptr;  // (width)
  const float* pre_scale = nullptr;   // (width) or null
  RotationSteps rotation;             // int8
  std::int64_t first_row = 0;         // of branch and out
  TiledRows out;
  std::int64_t out_steps = 0;
  float* scratch = nullptr;  // (kRowsTogether, width)
};

// Row by row: out = input of a linear layer made of x, rotated first.
struct InputTask {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  HalfRows x;                  // (all rows, width)
  RotationSteps rotation;      // int8
  std::int64_t first_row = 0;  // of x and out
  TiledRows out;
  std::int64_t out_steps = 0;
  float* scratch = nullptr;  // (kRowsTogether, width)
};

// Queries, keys and values of up to 32 tokens in a row of one text, all in one step of its keys,
// the first at a position that is a multiple of 16: norm, rotary embedding (cosine, sine:
// (position, head_width / 2)), bf16, and for keys and values the layout of panels. head_width is a
// multiple of 64.
struct HeadsTask {
  std::int64_t tokens = 0;
  std::int64_t position = 0;  // of the first token in its text
  bool ends_text = false;     // the rest of the step is cleared
  std::int64_t head_count = 0;
  std::int64_t head_width = 0;
  float epsilon = 0;
  HalfRows joint;                      // (all tokens, queries then keys then values)
  std::int64_t first_row = 0;          // of joint
  const float* query_scale = nullptr;  // (head_width), the score's factor in it
  const float* key_scale = nullptr;    // (head_width)
  const float* cosine = nullptr;
  const float* sine = nullptr;
  // (tokens * head_count) rows of head_width / 32 steps in tiles.
  std::uint8_t* queries = nullptr;
  // Of the text. Keys: (key panels, head_width / 32) of 32 keys; values: (head_width / 32,
  // key_steps) of 32 dimensions, in pairs.
  std::uint8_t* keys = nullptr;
  std::uint8_t* values = nullptr;
  std::int64_t key_steps = 0;  // ceil(tokens of the text / 32)
  float* scratch = nullptr;    // 16 keys: (8 * head_width)
};

// Row by row: scores in blocks -> exp2(score - largest) over the row's own range, 0 elsewhere, as
// bf16 in tiles (input_offset); `inverse_sums` gets 1 / sum.
struct SoftmaxTask {
  std::int64_t rows = 0;
  std::int64_t panel_count = 0;          // of 32 keys: also the steps of the weights
  const float* scores = nullptr;         // (rows / 32, panel_count, 32, 32)
  std::uint8_t* weights = nullptr;       // (rows / 16, panel_count, 16, kStepBytes)
  const std::int32_t* begins = nullptr;  // (rows): the range of each row
  const std::int32_t* ends = nullptr;
  float* inverse_sums = nullptr;  // (rows)
};

struct TiledBackend {
  const char* name;
  Precision precision;
  std::uint8_t input_bias;  // int8: what is xored onto the bytes of TiledRows, 0 or 0x80
  void (*linear)(const LinearTask&);
  void (*linear_gelu)(const LinearTask&);
  void (*scores)(const ScoresTask&);
  void (*weighted_values)(const ValuesTask&);
  void (*norm)(const NormTask&);
  void (*make_input)(const InputTask&);
  void (*make_heads)(const HeadsTask&);
  void (*softmax)(const SoftmaxTask&);
  // For columns [begin, end), multiples of kLanes: sum += norm(x row) * scale over the rows of
  // x(rows, width), in order.
  void (*norm_sum)(std::int64_t rows, std::int64_t width, std::int64_t begin, std::int64_t end,
                   const float* x, const float* scale, float epsilon, float* sum);
  // For columns [begin, end), multiples of kLanes: y = sum over i of x[i] * weight(in, out) row i,
  // in order of i.
  void (*transform)(std::int64_t in, std::int64_t out, std::int64_t begin, std::int64_t end,
                    const float* x, const float* weight, float* y);
};

// The tables of one instruction set; null where this build has none. They are code only: whether
// the machine can run it is backend.h's question.
const TiledBackend* amx_tables(Precision precision);
const TiledBackend* avx512_tables(Precision precision);
const TiledBackend* avx2_vnni_tables(Precision precision);
const TiledBackend* avx2_tables(Precision precision);
const TiledBackend* scalar_tables(Precision precision);

}  // namespace nestor::embed
