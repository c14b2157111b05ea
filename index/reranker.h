// Exact scores of candidates at a wider width, from the rows themselves, in double precision.
// Threads: safe anywhere the source is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/coarse_index.h"
#include "index/vector_source.h"

namespace nestor::index {

// The best `count` of `ids` by `metric` at `width`, best first, equal scores by lower id; of kL2
// minus the squared distance. `query` (at least width). `stop` is asked every 256 rows. Errors:
// those of the source and of `stop`; kInvalidArgument (query too short or not finite, count below
// 0), kDataLoss (a row that is not finite), kOutOfMemory. Cost: one row read and `width`
// multiply-adds a candidate.
Result<std::vector<Candidate>> rerank(const VectorSource& source, std::span<const float> query,
                                      int width, std::span<const std::uint64_t> ids,
                                      std::int64_t count, Metric metric = Metric::kCosine,
                                      const StopCheck& stop = {});

}  // namespace nestor::index
