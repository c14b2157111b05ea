// ListAssigner: which of many centroids each coded vector is nearest to, by the kernels that score
// a query against codes with the centroids as the queries. Vectors are the scanned words of their
// codes, `width` components. Throws std::bad_alloc: list_sorter.cc catches it.
// Threads: const calls at once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/code_quantizer.h"

namespace nestor::index {

class ListAssigner {
 public:
  // Of the first `width` components of the codes of `quantizer`.
  ListAssigner(const CodeQuantizer& quantizer, const ScanKernels& kernels, int width);

  // The centroids, (count, width); the nearest is the one of the greatest inner product.
  void set_centroids(std::span<const float> centroids);

  // Rows of whole blocks (scan_kernels.h) into (rows) numbers of centroids; of equally near ones
  // the first. Cost: about 1 ns a row and centroid at 256 components of 1 bit.
  // REQUIRES: there are centroids; room in `lists` for whole blocks.
  void assign_blocks(const std::uint32_t* blocks, std::int64_t rows, std::uint32_t* lists) const;

  // Adds what a code stands for to `sum` (width).
  void add_decoded(const std::uint32_t* code, std::span<float> sum) const;

 private:
  void assign_chunk(const std::uint32_t* blocks, std::int64_t rows, float* scores,
                    std::uint32_t* lists) const;

  const ScanKernels& kernels_;
  CodeShape shape_;
  std::vector<float> lowest_;  // what code 0 of each component decodes to
  std::vector<float> steps_;   // and how much further each next code
  std::vector<CodeQuery> centroids_;
};

}  // namespace nestor::index
