// Variety among the hits: maximal marginal relevance, few passages of one document, no near
// duplicates. Pure functions, safe anywhere; of equal worth the earlier one in the input wins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/stop_check.h"
#include "nestor/status.h"

namespace nestor::query {

// Positions in the input, best first, at most k. `relevance` has one score a candidate, `vectors`
// is (candidates, width); the first picked is the most relevant, every next one has the highest
//   lambda * relevance - (1 - lambda) * (its highest cosine to one that was picked).
// lambda 1 is the order of relevance. Source: Carbonell and Goldstein, The Use of MMR, 1998.
// Relevance of any scale is allowed, though it is weighed against cosines.
// Errors: kInvalidArgument (lambda outside 0 to 1, or a number of components that does not fit),
// those of `stop`, asked for each pick.
// Cost: k * candidates * width multiplications.
Result<std::vector<std::size_t>> select_mmr(std::span<const double> relevance,
                                            std::span<const float> vectors, std::size_t width,
                                            double lambda, std::size_t k,
                                            const StopCheck& stop = {});

// Positions of at most `most` candidates a document, in the order of the input.
std::vector<std::size_t> limit_per_document(std::span<const std::string> documents,
                                            std::size_t most);

// Positions without those whose cosine to one that stays before them is at least `threshold`. Rows
// of length 0 are like nothing. Errors: as select_mmr. Cost: candidates * kept * width.
Result<std::vector<std::size_t>> drop_near_duplicates(std::span<const float> vectors,
                                                      std::size_t width, double threshold);

}  // namespace nestor::query
