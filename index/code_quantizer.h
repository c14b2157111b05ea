// CodeQuantizer: rows of floats to codes of 1, 2, 4 or 8 bits a component and queries to small
// integers, so that a score is a sum of integer products: exact, and the same on every processor.
// The mathematics and every constant with its measurement: index/CODES.md.
//
// Layout of a coded row: 32-bit words; word k holds the components [k * n, (k + 1) * n), n = 32 /
// bits; component k * n + 4 * plane + lane stands in byte `lane`, from bit plane * bits on. So the
// codes of four neighbours come out of a word with one mask, whatever the bits.
//
// Threads: const calls at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/scan_kernels.h"
#include "nestor/status.h"

namespace nestor::index {

inline constexpr int kMostCodeWidth = 65536;

struct CodeShape {
  int width = 0;  // components, 1 to kMostCodeWidth
  int bits = 0;   // 1, 2, 4 or 8
  bool operator==(const CodeShape&) const = default;

  [[nodiscard]] bool valid() const;
  // 32-bit words of a coded row; the unused bits of the last one are zero.
  [[nodiscard]] int words() const { return (width * bits + 31) / 32; }
  [[nodiscard]] int bytes() const { return 4 * words(); }
};

// A query ready to be scored: score = step * (sum of weight * code) + offset is about the cosine.
struct CodeQuery {
  CodeShape shape;
  // (words * 32 / bits), in the order of the components, zero past the width; -127 to 127, for
  // codes of 1 bit -31 to 31.
  std::vector<std::int8_t> weights;
  // The same for codes that lie row by row, from word `first_row_word` on: (words / 16 rounded up,
  // 8 / bits planes, 16 words, 4).
  std::vector<std::int8_t> row_weights;
  // For codes of 1 bit: what each nibble of a scanned word adds, plus kNibbleBias: (words, low and
  // high nibble, 4 bytes, 16 values).
  std::vector<std::uint8_t> nibbles;
  float step = 0;
  float offset = 0;

  [[nodiscard]] float score(std::int32_t sum) const {
    return step * static_cast<float>(sum) + offset;
  }
};

// The integer weights of any query over codes of `shape`: weights[i] about values[i] / step.
// REQUIRES: values.size() == shape.width, all finite.
CodeQuery integer_query(CodeShape shape, std::span<const double> values, int first_row_word = 0);

// Puts (shape.width) codes in their places. `codes` has room for words * 32 / bits, the rest zero.
void pack_codes(CodeShape shape, const std::uint8_t* codes, std::uint32_t* words);
// The code of one component.
inline std::uint32_t code_at(CodeShape shape, const std::uint32_t* words, int component) {
  const int each = 32 / shape.bits;
  const int within = component % each;
  return words[component / each] >> (8 * (within % 4) + within / 4 * shape.bits) &
         ((1U << shape.bits) - 1);
}

class CodeQuantizer {
 public:
  // Mean and step of each component from `row_count` rows, `stride` floats apart; each prefix is
  // normalised first. Zero prefixes are left out. No rows: mean 0, steps of a uniform direction.
  // REQUIRES: shape.valid(), stride >= shape.width, all finite.
  CodeQuantizer(CodeShape shape, std::span<const float> rows, std::size_t stride);

  [[nodiscard]] CodeShape shape() const { return shape_; }
  // `row` (at least width) into (words). A zero prefix becomes the code of the mean.
  // Cost: about 1 us a 768 components.
  void encode(std::span<const float> row, std::uint32_t* words) const;
  // The middle of each component's interval, (width).
  void decode(const std::uint32_t* words, float* row) const;
  // `query` (at least width), its prefix is normalised. REQUIRES: finite.
  [[nodiscard]] CodeQuery query(std::span<const float> query, int first_row_word = 0) const;

  // Mean and steps as bytes, and back. STORED: storage/FORMAT.md, section "Ladder files".
  // Errors of parse: kDataLoss.
  [[nodiscard]] std::string serialize() const;
  static Result<CodeQuantizer> parse(std::string_view bytes);
  static std::size_t serialized_bytes(CodeShape shape);

 private:
  CodeQuantizer() = default;
  void prepare();

  CodeShape shape_;
  std::vector<float> mean_;      // (width)
  std::vector<float> steps_;     // (width), > 0
  std::vector<float> inverses_;  // (width), 1 / steps
};

}  // namespace nestor::index
