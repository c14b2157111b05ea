#include "index/list_assigner.h"

#include <algorithm>
#include <array>
#include <limits>

#include "core/check.h"

namespace nestor::index {
namespace {

// 32 KB of codes at 32 bytes a row: they stay in the first cache while all centroids pass.
constexpr std::int64_t kChunkRows = 1024;

}  // namespace

ListAssigner::ListAssigner(const CodeQuantizer& quantizer, const ScanKernels& kernels, int width)
    : kernels_(kernels), shape_{.width = width, .bits = quantizer.shape().bits} {
  const CodeShape whole = quantizer.shape();
  const std::vector<std::uint32_t> zeros(static_cast<std::size_t>(whole.words()));
  const std::vector<std::uint32_t> ones(zeros.size(), ~0U);
  lowest_.resize(static_cast<std::size_t>(whole.width));
  steps_.resize(lowest_.size());
  quantizer.decode(zeros.data(), lowest_.data());
  quantizer.decode(ones.data(), steps_.data());
  const float most = static_cast<float>((1 << whole.bits) - 1);
  for (std::size_t c = 0; c < steps_.size(); ++c) {
    steps_[c] = (steps_[c] - lowest_[c]) / most;
  }
}

void ListAssigner::set_centroids(std::span<const float> centroids) {
  centroids_.clear();
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  std::vector<double> values(width);
  for (std::size_t at = 0; at + width <= centroids.size(); at += width) {
    double offset = 0;
    for (std::size_t c = 0; c < width; ++c) {
      values[c] = double{centroids[at + c]} * steps_[c];
      offset += double{centroids[at + c]} * lowest_[c];
    }
    centroids_.push_back(integer_query(shape_, values));
    centroids_.back().offset = static_cast<float>(offset);
  }
}

void ListAssigner::assign_chunk(const std::uint32_t* blocks, std::int64_t rows, float* scores,
                                std::uint32_t* lists) const {
  static constexpr auto kAllLive = [] {
    std::array<std::uint64_t, kChunkRows / 64> live{};
    live.fill(~std::uint64_t{0});
    return live;
  }();
  std::array<std::int32_t, kChunkRows + kBlockRows> sums;
  std::array<std::uint32_t, kChunkRows + kBlockRows> positions;
  std::fill_n(scores, rows, -std::numeric_limits<float>::infinity());
  std::fill_n(lists, rows, 0U);
  for (std::size_t list = 0; list < centroids_.size(); ++list) {
    const CodeQuery& centroid = centroids_[list];
    kernels_.scan({.blocks = blocks,
                   .words = shape_.words(),
                   .bits = shape_.bits,
                   .block_begin = 0,
                   .block_end = rows / kBlockRows,
                   .live = kAllLive.data(),
                   .weights = centroid.weights.data(),
                   .nibbles = centroid.nibbles.data(),
                   .threshold = std::numeric_limits<std::int32_t>::min(),
                   .scores = sums.data(),
                   .positions = positions.data()});
    const std::uint32_t number = static_cast<std::uint32_t>(list);
    for (std::int64_t i = 0; i < rows; ++i) {
      const float score = centroid.score(sums[static_cast<std::size_t>(i)]);
      lists[i] = score > scores[i] ? number : lists[i];
      scores[i] = std::max(scores[i], score);
    }
  }
}

void ListAssigner::assign_blocks(const std::uint32_t* blocks, std::int64_t rows,
                                 std::uint32_t* lists) const {
  NESTOR_CHECK(!centroids_.empty(), "vectors to be assigned to no centroids");
  std::array<float, kChunkRows> scores;
  const std::int64_t padded = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
  for (std::int64_t first = 0; first < padded; first += kChunkRows) {
    assign_chunk(blocks + first * shape_.words(), std::min(kChunkRows, padded - first),
                 scores.data(), lists + first);
  }
}

// Byte by byte of a word and plane by plane, as codes lie (code_quantizer.h).
void ListAssigner::add_decoded(const std::uint32_t* code, std::span<float> sum) const {
  const std::uint32_t mask = (1U << shape_.bits) - 1;
  std::size_t c = 0;
  for (int word = 0; word < shape_.words(); ++word) {
    for (int shift = 0; shift < 8; shift += shape_.bits) {
      for (int lane = 0; lane < 4 && c < sum.size(); ++lane, ++c) {
        const std::uint32_t level = code[word] >> (8 * lane + shift) & mask;
        sum[c] += lowest_[c] + static_cast<float>(level) * steps_[c];
      }
    }
  }
}

}  // namespace nestor::index
