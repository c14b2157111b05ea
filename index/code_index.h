// CodeIndex: codes of 1, 2, 4 or 8 bits as a FAISS index, so that FAISS's own graphs and inverted
// lists can sit on them: its distance computer and its search are the kernels of scan_choice.h.
// Scores are about cosines (METRIC_INNER_PRODUCT over unit rows). FAISS's exceptions pass through:
// it is for index/ itself, whose borders catch them.
// Threads: as faiss::Index: const calls at once.
#pragma once

#include <faiss/IndexFlatCodes.h>

#include <cstdint>
#include <optional>

#include "index/code_quantizer.h"

namespace nestor::index {

class CodeIndex : public faiss::IndexFlatCodes {
 public:
  // REQUIRES: shape.valid(). Untrained: train or add takes the first rows.
  explicit CodeIndex(CodeShape shape);

  [[nodiscard]] CodeShape shape() const { return shape_; }
  void train(idx_t n, const float* x) override;
  void add(idx_t n, const float* x) override;
  // Equal scores by lower position. Selectors are taken.
  void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
              const faiss::SearchParameters* params = nullptr) const override;
  void sa_encode(idx_t n, const float* x, std::uint8_t* bytes) const override;
  void sa_decode(idx_t n, const std::uint8_t* bytes, float* x) const override;
  faiss::FlatCodesDistanceComputer* get_FlatCodesDistanceComputer() const override;

 private:
  CodeShape shape_;
  std::optional<CodeQuantizer> quantizer_;
};

}  // namespace nestor::index
