#include "index/code_index.h"

#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "core/check.h"
#include "index/scan_choice.h"
#include "index/top_codes.h"

namespace nestor::index {
namespace {

constexpr std::int64_t kStepRows = 4096;

class CodeDistance : public faiss::DistanceComputer {
 public:
  CodeDistance(const CodeQuantizer& quantizer, const std::vector<std::uint32_t>& codes)
      : quantizer_(quantizer),
        codes_(codes),
        decoded_(static_cast<std::size_t>(quantizer.shape().width)) {}

  void set_query(const float* x) override { query_ = quantizer_.query({x, decoded_.size()}); }

  float operator()(idx_t i) override { return score(query_, i); }

  float symmetric_dis(idx_t i, idx_t j) override {
    quantizer_.decode(code(i), decoded_.data());
    return score(quantizer_.query(decoded_), j);
  }

 private:
  [[nodiscard]] const std::uint32_t* code(idx_t i) const {
    return codes_.data() + i * quantizer_.shape().words();
  }

  [[nodiscard]] float score(const CodeQuery& query, idx_t i) const {
    std::int32_t sum = 0;
    scan_kernels().score_rows({.codes = code(i),
                               .words = quantizer_.shape().words(),
                               .bits = query.shape.bits,
                               .row_weights = query.row_weights.data(),
                               .count = 1,
                               .scores = &sum});
    return query.score(sum);
  }

  const CodeQuantizer& quantizer_;
  const std::vector<std::uint32_t>& codes_;  // (vectors, words)
  std::vector<float> decoded_;
  CodeQuery query_;
};

}  // namespace

CodeIndex::CodeIndex(CodeShape shape)
    : Index(shape.width, faiss::METRIC_INNER_PRODUCT), shape_(shape) {
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
  const std::size_t width = static_cast<std::size_t>(d);
  const std::size_t words = static_cast<std::size_t>(shape_.words());
  codes_.resize(static_cast<std::size_t>(ntotal + n) * words);
  std::uint32_t* code = codes_.data() + static_cast<std::size_t>(ntotal) * words;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i, code += words) {
    quantizer_->encode({x + i * width, width}, code);
  }
  ntotal += n;
}

void CodeIndex::reset() {
  codes_.clear();
  ntotal = 0;
}

faiss::DistanceComputer* CodeIndex::get_distance_computer() const {
  NESTOR_CHECK(quantizer_.has_value(), "codes before the training");
  return new CodeDistance(*quantizer_, codes_);
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
      kernels.score_rows({.codes = codes_.data() + first * shape_.words(),
                          .words = shape_.words(),
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
