#include "index/code_quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/bytes.h"
#include "core/check.h"
#include "core/vector_math.h"

namespace nestor::index {
namespace {

// Steps of the best uniform quantiser of a normal distribution, in standard deviations. Source: J.
// Max, "Quantizing for minimum distortion", IRE Transactions on Information Theory 6 (1960), table
// II. For one bit the step is twice the mean magnitude, taken from the rows themselves.
constexpr double kTwoBitStep = 0.9957;
constexpr double kFourBitStep = 0.3352;
constexpr double kEightBitStep = 0.0308;
// A component that never varies still needs a step that can be divided by.
constexpr double kLeastStep = 1e-6;
constexpr double kMostWeight = 127;
// 1 bit a component is itself off by six tenths of the spread; a weight of 31 levels by a
// thirtieth.
constexpr int kMostBitLevel = kNibbleBias / 4;
constexpr double kMostBitWeight = kMostBitLevel;

double step_factor(int bits) {
  return bits == 2 ? kTwoBitStep : bits == 4 ? kFourBitStep : kEightBitStep;
}

double inverse_length(std::span<const float> prefix) {
  const double length = std::sqrt(dot(prefix, prefix));
  return length > 0 ? 1 / length : 0;
}

// In four lanes, so that comparisons need not wait for each other.
double most_magnitude(std::span<const double> values) {
  double most[4] = {0, 0, 0, 0};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double magnitude = std::abs(values[i]);
    most[i % 4] = magnitude > most[i % 4] ? magnitude : most[i % 4];
  }
  return std::max({most[0], most[1], most[2], most[3]});
}

// Every sum is the sum without its lowest bit, and that bit's weight.
void fill_nibbles(CodeQuery& query, std::size_t words) {
  query.nibbles.resize(words * 128);
  for (std::size_t table = 0; table < words * 8; ++table) {
    // Component of plane p and byte `lane` of a word: 4 * p + lane.
    const std::size_t first = table / 8 * 32 + table / 4 % 2 * 16 + table % 4;
    std::uint8_t* sums = &query.nibbles[table * 16];
    sums[0] = kNibbleBias;
    for (unsigned value = 1; value < 16; ++value) {
      const std::size_t plane = static_cast<std::size_t>(std::countr_zero(value));
      sums[value] =
          static_cast<std::uint8_t>(sums[value & (value - 1)] + query.weights[first + 4 * plane]);
    }
  }
}

}  // namespace

bool CodeShape::valid() const {
  return width > 0 && width <= kMostCodeWidth && (bits == 1 || bits == 2 || bits == 4 || bits == 8);
}

CodeQuery integer_query(CodeShape shape, std::span<const double> values, int first_row_word) {
  CodeQuery query{.shape = shape, .weights = {}, .row_weights = {}, .nibbles = {}};
  const std::size_t planes = static_cast<std::size_t>(8 / shape.bits);
  const std::size_t words = static_cast<std::size_t>(shape.words());
  const std::size_t first = static_cast<std::size_t>(first_row_word);
  const std::size_t chunks = (words - first + 15) / 16;
  query.weights.assign(words * planes * 4, 0);
  query.row_weights.assign(chunks * planes * 64, 0);
  double most = most_magnitude(values);
  if (most == 0) most = 1;
  const double levels = shape.bits == 1 ? kMostBitWeight : kMostWeight;
  query.step = static_cast<float>(most / levels);
  std::int8_t* const weights = query.weights.data();
  for (std::size_t i = 0; i < values.size(); ++i) {
    // Half away from zero, as lround does, without 768 calls of it or branches on signs.
    const double value = values[i] * (levels / most);
    weights[i] = static_cast<std::int8_t>(static_cast<int>(value + std::copysign(.5, value)));
  }
  for (std::size_t word = 0; word + first < words; ++word) {
    for (std::size_t plane = 0; plane < planes; ++plane) {
      std::memcpy(&query.row_weights[((word / 16 * planes + plane) * 16 + word % 16) * 4],
                  &query.weights[((first + word) * planes + plane) * 4], 4);
    }
  }
  if (shape.bits == 1) fill_nibbles(query, first > 0 ? first : words);
  return query;
}

void pack_codes(CodeShape shape, const std::uint8_t* codes, std::uint32_t* words) {
  const int planes = 8 / shape.bits;
  for (int word = 0; word < shape.words(); ++word) {
    std::uint32_t packed = 0;
    for (int plane = 0; plane < planes; ++plane, codes += 4) {
      const std::uint32_t four =
          static_cast<std::uint32_t>(codes[0]) | static_cast<std::uint32_t>(codes[1]) << 8 |
          static_cast<std::uint32_t>(codes[2]) << 16 | static_cast<std::uint32_t>(codes[3]) << 24;
      packed |= four << (plane * shape.bits);
    }
    words[word] = packed;
  }
}

CodeQuantizer::CodeQuantizer(CodeShape shape, std::span<const float> rows, std::size_t stride)
    : shape_(shape) {
  NESTOR_CHECK(shape.valid() && stride >= static_cast<std::size_t>(shape.width),
               "codes of a shape that does not exist");
  const std::size_t width = static_cast<std::size_t>(shape.width);
  std::vector<double> sums(width);
  std::vector<double> spreads(width);
  std::size_t count = 0;
  const auto each_row = [&](const auto& work) {
    for (std::size_t begin = 0; begin + stride <= rows.size(); begin += stride) {
      const std::span<const float> prefix = rows.subspan(begin, width);
      const double scale = inverse_length(prefix);
      if (scale > 0) work(prefix, scale);
    }
  };
  each_row([&](std::span<const float> row, double scale) {
    for (std::size_t i = 0; i < width; ++i) sums[i] += scale * row[i];
    ++count;
  });
  const double divisor = static_cast<double>(std::max<std::size_t>(count, 1));
  for (double& sum : sums) sum /= divisor;
  each_row([&](std::span<const float> row, double scale) {
    for (std::size_t i = 0; i < width; ++i) {
      const double away = scale * row[i] - sums[i];
      spreads[i] += shape.bits == 1 ? std::abs(away) : away * away;
    }
  });
  mean_.assign(sums.begin(), sums.end());
  steps_.resize(width);
  for (std::size_t i = 0; i < width; ++i) {
    const double spread = count == 0 ? 1 / static_cast<double>(width) : spreads[i] / divisor;
    const double step = shape.bits == 1 && count > 0 ? 2 * spread
                        : shape.bits == 1            ? 2 * std::sqrt(spread)
                                                     : step_factor(shape.bits) * std::sqrt(spread);
    steps_[i] = static_cast<float>(std::max(step, kLeastStep));
  }
  prepare();
}

void CodeQuantizer::prepare() {
  inverses_.resize(steps_.size());
  for (std::size_t i = 0; i < steps_.size(); ++i) inverses_[i] = 1 / steps_[i];
}

void CodeQuantizer::encode(std::span<const float> row, std::uint32_t* words) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  const std::span<const float> prefix = row.first(width);
  const double inverse = inverse_length(prefix);
  const float scale = static_cast<float>(inverse);
  const float half = static_cast<float>(1 << (shape_.bits - 1));
  const float most = 2 * half - 1;
  // Blocks end at whole words of every number of bits.
  constexpr std::size_t kBlock = 256;
  std::uint8_t codes[kBlock];
  const std::size_t each = static_cast<std::size_t>(32 / shape_.bits);
  for (std::size_t begin = 0; begin < width; begin += kBlock) {
    const std::size_t count = std::min(kBlock, width - begin);
    for (std::size_t i = 0; i < count; ++i) {
      const float away = prefix[begin + i] * scale - mean_[begin + i];
      const float level = (inverse > 0 ? away : 0) * inverses_[begin + i] + half;
      codes[i] = static_cast<std::uint8_t>(
          static_cast<int>(std::min(std::max(level, 0.0F), most)));  // rounds down: not negative
    }
    const std::size_t whole = (count + each - 1) / each * each;
    std::fill(codes + count, codes + whole, std::uint8_t{0});
    const CodeShape part{.width = static_cast<int>(count), .bits = shape_.bits};
    pack_codes(part, codes, words + begin / each);
  }
}

void CodeQuantizer::decode(const std::uint32_t* words, float* row) const {
  const float middle = static_cast<float>((1 << shape_.bits) - 1) / 2;
  for (int i = 0; i < shape_.width; ++i) {
    const std::size_t at = static_cast<std::size_t>(i);
    row[i] = mean_[at] + steps_[at] * (static_cast<float>(code_at(shape_, words, i)) - middle);
  }
}

CodeQuery CodeQuantizer::query(std::span<const float> query, int first_row_word) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  const std::span<const float> prefix = query.first(width);
  const double scale = inverse_length(prefix);
  const double middle = ((1 << shape_.bits) - 1) / 2.0;
  std::vector<double> values(width);
  double offsets[4] = {0, 0, 0, 0};  // in lanes: additions need not wait for each other
  for (std::size_t i = 0; i < width; ++i) {
    values[i] = scale * prefix[i] * steps_[i];
    offsets[i % 4] += scale * prefix[i] * mean_[i] - middle * values[i];
  }
  const double offset = (offsets[0] + offsets[1]) + (offsets[2] + offsets[3]);
  CodeQuery result = integer_query(shape_, values, first_row_word);
  result.offset = static_cast<float>(offset);
  return result;
}

std::size_t CodeQuantizer::serialized_bytes(CodeShape shape) {
  return 8 + 8 * static_cast<std::size_t>(shape.width);
}

std::string CodeQuantizer::serialize() const {
  ByteWriter writer;
  writer.u32(static_cast<std::uint32_t>(shape_.width));
  writer.u32(static_cast<std::uint32_t>(shape_.bits));
  writer.floats(mean_);
  writer.floats(steps_);
  return writer.take();
}

Result<CodeQuantizer> CodeQuantizer::parse(std::string_view bytes) {
  const auto damaged = [](const std::string& what) {
    return Status(StatusCode::kDataLoss,
                  "codes: " + what + "; the cache is damaged, build it anew from the store");
  };
  ByteReader reader(bytes);
  std::uint32_t width = 0;
  std::uint32_t bits = 0;
  reader.u32(width);
  reader.u32(bits);
  CodeQuantizer quantizer;
  if (!reader.ok() || width > kMostCodeWidth || bits > 8) {
    return damaged(fmt::format("a shape of {} components and {} bits", width, bits));
  }
  quantizer.shape_ = {.width = static_cast<int>(width), .bits = static_cast<int>(bits)};
  if (!quantizer.shape_.valid() || bytes.size() != serialized_bytes(quantizer.shape_)) {
    return damaged(
        fmt::format("a shape of {} components and {} bits in {} bytes", width, bits, bytes.size()));
  }
  quantizer.mean_.resize(width);
  quantizer.steps_.resize(width);
  reader.floats(quantizer.mean_);
  reader.floats(quantizer.steps_);
  for (std::size_t i = 0; i < width; ++i) {
    const float mean = quantizer.mean_[i];
    const float step = quantizer.steps_[i];
    if (!(std::abs(mean) <= 1.001F) || !(step >= 0.5F * kLeastStep && step <= 8)) {
      return damaged(fmt::format("component {} has the mean {} and the step {}", i, mean, step));
    }
  }
  quantizer.prepare();
  return quantizer;
}

}  // namespace nestor::index
