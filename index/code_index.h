// CodeIndex: codes of 1, 2, 4 or 8 bits as a FAISS index, so that FAISS's own graphs and inverted
// lists can sit on them: its distance computer and its search are the kernels of scan_choice.h.
// Scores are about cosines (METRIC_INNER_PRODUCT over unit rows). FAISS's exceptions pass through:
// it is for index/ itself, whose borders catch them. It is a faiss::Index and no
// faiss::IndexFlatCodes: the storage of that class differs between versions, and from 1.11 on it
// brings BLAS and OpenMP teams along.
// Threads: as faiss::Index: const calls at once.
#pragma once

#include <faiss/Index.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "index/code_quantizer.h"
#include "index/faiss_types.h"

namespace nestor::index {

class CodeIndex : public faiss::Index {
 public:
  // REQUIRES: shape.valid(). Untrained: train or add takes the first rows.
  explicit CodeIndex(CodeShape shape);

  [[nodiscard]] CodeShape shape() const { return shape_; }
  void train(idx_t n, const float* x) override;
  void add(idx_t n, const float* x) override;
  void reset() override;
  // Equal scores by lower position. Selectors are taken.
  void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
              const faiss::SearchParameters* params = nullptr) const override;
  // Scores of single vectors; it must not outlive the index nor stay over an `add`.
  [[nodiscard]] faiss::DistanceComputer* get_distance_computer() const override;

 private:
  CodeShape shape_;
  std::vector<std::uint32_t> codes_;  // (ntotal, shape.words())
  std::optional<CodeQuantizer> quantizer_;
};

}  // namespace nestor::index
