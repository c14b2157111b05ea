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
    : Index(width, faiss::METRIC_INNER_PRODUCT),
      kernels_(kernels),
      shape_{.width = width, .bits = quantizer.shape().bits} {
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
    inverses_.push_back(1 / steps_[c]);
  }
}

void ListAssigner::add(idx_t n, const float* x) {
  const std::size_t width = static_cast<std::size_t>(d);
  std::vector<double> values(width);
  for (idx_t i = 0; i < n; ++i, x += d) {
    double offset = 0;
    for (std::size_t c = 0; c < width; ++c) {
      values[c] = double{x[c]} * steps_[c];
      offset += double{x[c]} * lowest_[c];
    }
    centroids_.push_back(integer_query(shape_, values));
    centroids_.back().offset = static_cast<float>(offset);
  }
  ntotal = static_cast<idx_t>(centroids_.size());
}

void ListAssigner::reset() {
  centroids_.clear();
  ntotal = 0;
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
  NESTOR_CHECK(ntotal > 0, "rows to be assigned to no centroids");
  std::array<float, kChunkRows> scores;
  const std::int64_t padded = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
  for (std::int64_t first = 0; first < padded; first += kChunkRows) {
    assign_chunk(blocks + first * shape_.words(), std::min(kChunkRows, padded - first),
                 scores.data(), lists + first);
  }
}

void ListAssigner::search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
                          const faiss::SearchParameters*) const {
  NESTOR_CHECK(k == 1 && ntotal > 0, "a list assigner knows the nearest centroid alone");
  const std::size_t words = static_cast<std::size_t>(shape_.words());
  const float most = static_cast<float>((1 << shape_.bits) - 1);
  std::vector<std::uint8_t> codes(words * 32 / static_cast<std::size_t>(shape_.bits));
  std::vector<std::uint32_t> row(words);
  std::vector<std::uint32_t> blocks(words * kChunkRows);
  std::vector<std::uint32_t> lists(kChunkRows);
  std::vector<float> scores(kChunkRows);
  for (idx_t first = 0; first < n; first += kChunkRows) {
    const idx_t rows = std::min<idx_t>(kChunkRows, n - first);
    for (idx_t i = 0; i < rows; ++i) {
      const float* from = x + (first + i) * d;
      for (std::size_t c = 0; c < static_cast<std::size_t>(d); ++c) {
        const float level = (from[c] - lowest_[c]) * inverses_[c];
        codes[c] = static_cast<std::uint8_t>(std::clamp(level + 0.5F, 0.0F, most));
      }
      pack_codes(shape_, codes.data(), row.data());
      std::uint32_t* block = blocks.data() +
                             static_cast<std::size_t>(i / kBlockRows) * words * kBlockRows +
                             i % kBlockRows;
      for (std::size_t word = 0; word < words; ++word) block[word * kBlockRows] = row[word];
    }
    const idx_t padded = (rows + kBlockRows - 1) / kBlockRows * kBlockRows;
    assign_chunk(blocks.data(), padded, scores.data(), lists.data());
    std::copy_n(scores.begin(), rows, distances + first);
    std::copy_n(lists.begin(), rows, labels + first);
  }
}

std::size_t ListAssigner::sa_code_size() const { return static_cast<std::size_t>(shape_.bytes()); }

void ListAssigner::sa_decode(idx_t n, const std::uint8_t* bytes, float* x) const {
  const std::size_t width = static_cast<std::size_t>(d);
  const std::uint32_t mask = (1U << shape_.bits) - 1;
  // Byte by byte of a word and plane by plane, as codes lie (code_quantizer.h).
  for (idx_t i = 0; i < n; ++i, x += d) {
    std::size_t c = 0;
    for (int word = 0; word < shape_.words(); ++word, bytes += sizeof(std::uint32_t)) {
      for (int shift = 0; shift < 8; shift += shape_.bits) {
        for (std::size_t lane = 0; lane < 4 && c < width; ++lane, ++c) {
          x[c] = lowest_[c] + static_cast<float>(bytes[lane] >> shift & mask) * steps_[c];
        }
      }
    }
  }
}

}  // namespace nestor::index
