// The exact nearest rows of many questions in one pass over the rows: what recall is measured
// against. Threads: free function, safe anywhere the source is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/coarse_index.h"
#include "index/vector_source.h"
#include "nestor/status.h"

namespace nestor::index {

// The best k rows of each of `questions` (count, width) by cosine, best first, equal scores by
// lower id. Scores are products of f32: off by some 1e-6. Rows and questions of any length.
// Errors: those of the source, kOutOfMemory.
// Cost: one pass, a matrix product of 2 count width FLOP a row, 4,096 rows in memory.
Result<std::vector<std::vector<Candidate>>> search_exactly(const VectorSource& source,
                                                           std::span<const float> questions,
                                                           int width, std::int64_t k);

}  // namespace nestor::index
