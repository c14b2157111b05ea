// ListAssigner: which of many centroids each coded row is nearest to, by the kernels that score a
// query against codes with the centroids as the queries. As a faiss::Index of those centroids it
// is what faiss::Clustering assigns with, and what decodes its sample. Rows are the scanned words
// of their codes, `width` components. FAISS's exceptions pass through: index/ catches them.
// Threads: const calls at once.
#pragma once

#include <faiss/Index.h>

#include <cstdint>
#include <span>
#include <vector>

#include "index/code_quantizer.h"

namespace nestor::index {

class ListAssigner : public faiss::Index {
 public:
  // Of the first `width` components of the codes of `quantizer`.
  ListAssigner(const CodeQuantizer& quantizer, const ScanKernels& kernels, int width);

  // Rows of whole blocks (scan_kernels.h) into (rows) numbers of centroids; of equally near ones
  // the first. Cost: about 1 ns a row and centroid at 256 components of 1 bit.
  // REQUIRES: ntotal > 0; room in `lists` for whole blocks.
  void assign_blocks(const std::uint32_t* blocks, std::int64_t rows, std::uint32_t* lists) const;

  // The centroids, (n, width); the nearest is the one of the greatest inner product.
  void add(idx_t n, const float* x) override;
  void reset() override;
  // REQUIRES: k is 1. Encodes `x` and assigns: rows that sa_decode has made come out as they were.
  void search(idx_t n, const float* x, idx_t k, float* distances, idx_t* labels,
              const faiss::SearchParameters* params = nullptr) const override;
  [[nodiscard]] std::size_t sa_code_size() const override;
  void sa_decode(idx_t n, const std::uint8_t* bytes, float* x) const override;

 private:
  void assign_chunk(const std::uint32_t* blocks, std::int64_t rows, float* scores,
                    std::uint32_t* lists) const;

  const ScanKernels& kernels_;
  CodeShape shape_;
  std::vector<float> lowest_;  // what code 0 of each component decodes to
  std::vector<float> steps_;   // and how much further each next code
  std::vector<float> inverses_;
  std::vector<CodeQuery> centroids_;
};

}  // namespace nestor::index
