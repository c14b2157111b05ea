#include "index/code_index.h"

#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "core/check.h"
#include "index/scan_choice.h"
#include "index/top_codes.h"

namespace nestor::index {
namespace {

constexpr std::int64_t kStepRows = 4096;

// FAISS keeps codes as bytes wherever they come to lie; a row is copied to where words may be read.
class CodeDistance : public faiss::FlatCodesDistanceComputer {
 public:
  CodeDistance(const CodeQuantizer& quantizer, const std::uint8_t* all, std::size_t bytes)
      : FlatCodesDistanceComputer(all, bytes),
        quantizer_(quantizer),
        words_(bytes / 4),
        decoded_(static_cast<std::size_t>(quantizer.shape().width)) {}

  void set_query(const float* x) override { query_ = quantizer_.query({x, decoded_.size()}); }

  float symmetric_dis(idx_t i, idx_t j) override {
    std::memcpy(words_.data(), codes + static_cast<std::size_t>(i) * code_size, code_size);
    quantizer_.decode(words_.data(), decoded_.data());
    return score(quantizer_.query(decoded_), codes + static_cast<std::size_t>(j) * code_size);
  }

  float distance_to_code(const std::uint8_t* code) override { return score(query_, code); }

 private:
  float score(const CodeQuery& query, const std::uint8_t* code) {
    std::memcpy(words_.data(), code, code_size);
    std::int32_t sum = 0;
    scan_kernels().score_rows({.codes = words_.data(),
                               .words = static_cast<std::int64_t>(words_.size()),
                               .bits = query.shape.bits,
                               .row_weights = query.row_weights.data(),
                               .count = 1,
                               .scores = &sum});
    return query.score(sum);
  }

  const CodeQuantizer& quantizer_;
  std::vector<std::uint32_t> words_;
  std::vector<float> decoded_;
  CodeQuery query_;
};

}  // namespace

CodeIndex::CodeIndex(CodeShape shape)
    : IndexFlatCodes(static_cast<std::size_t>(shape.bytes()), shape.width,
                     faiss::METRIC_INNER_PRODUCT),
      shape_(shape) {
  NESTOR_CHECK(shape.valid(), "codes of a shape that does not exist");
  is_trained = false;
}

void CodeIndex::train(idx_t n, const float* x) {
  const std::size_t width = static_cast<std::size_t>(d);
  quantizer_.emplace(shape_, std::span(x, static_cast<std::size_t>(n) * width), width);
  is_trained = true;
}

void CodeIndex::add(idx_t n, const float* x) {
  if (!is_trained) train(n, x);
  IndexFlatCodes::add(n, x);
}

void CodeIndex::sa_encode(idx_t n, const float* x, std::uint8_t* bytes) const {
  NESTOR_CHECK(quantizer_.has_value(), "codes before the training");
  const std::size_t width = static_cast<std::size_t>(d);
  std::vector<std::uint32_t> words(code_size / 4);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    quantizer_->encode({x + i * width, width}, words.data());
    std::memcpy(bytes + i * code_size, words.data(), code_size);
  }
}

void CodeIndex::sa_decode(idx_t n, const std::uint8_t* bytes, float* x) const {
  NESTOR_CHECK(quantizer_.has_value(), "codes before the training");
  std::vector<std::uint32_t> words(code_size / 4);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    std::memcpy(words.data(), bytes + i * code_size, code_size);
    quantizer_->decode(words.data(), x + i * static_cast<std::size_t>(d));
  }
}

faiss::FlatCodesDistanceComputer* CodeIndex::get_FlatCodesDistanceComputer() const {
  NESTOR_CHECK(quantizer_.has_value(), "codes before the training");
  return new CodeDistance(*quantizer_, codes.data(), code_size);
}

void CodeIndex::search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
                       const faiss::SearchParameters* params) const {
  const faiss::IDSelector* selector = params == nullptr ? nullptr : params->sel;
  const ScanKernels& kernels = scan_kernels();
  std::vector<std::int32_t> scores(kStepRows);
  std::fill_n(distances, n * k, -std::numeric_limits<float>::max());
  std::fill_n(labels, n * k, idx_t{-1});
  for (idx_t q = 0; q < n && k > 0 && ntotal > 0; ++q) {
    const CodeQuery query = quantizer_->query({x + q * d, static_cast<std::size_t>(d)});
    CodeList list(2 * std::min(k, ntotal) + kStepRows);
    for (idx_t first = 0; first < ntotal; first += kStepRows) {
      if (list.count + kStepRows > list.room) list.cut(kernels, std::min(k, list.count));
      const idx_t rows = std::min(kStepRows, ntotal - first);
      // operator new aligns the vector of bytes for words, and rows are whole words.
      kernels.score_rows({.codes = reinterpret_cast<const std::uint32_t*>(
                              codes.data() + static_cast<std::size_t>(first) * code_size),
                          .words = static_cast<std::int64_t>(code_size / 4),
                          .bits = shape_.bits,
                          .row_weights = query.row_weights.data(),
                          .count = rows,
                          .scores = scores.data()});
      for (idx_t row = 0; row < rows; ++row) {
        if (selector != nullptr && !selector->is_member(first + row)) continue;
        list.scores[list.count] = scores[static_cast<std::size_t>(row)];
        list.positions[list.count++] = static_cast<std::uint32_t>(first + row);
      }
    }
    if (list.count > k) list.cut(kernels, k);
    std::vector<std::int64_t> order(static_cast<std::size_t>(list.count));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return list.scores[a] > list.scores[b];
    });
    for (std::size_t i = 0; i < order.size(); ++i) {
      distances[q * k + static_cast<idx_t>(i)] = query.score(list.scores[order[i]]);
      labels[q * k + static_cast<idx_t>(i)] = list.positions[order[i]];
    }
  }
}

}  // namespace nestor::index
