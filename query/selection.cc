#include "query/selection.h"

#include <algorithm>
#include <string>

#include "core/macros.h"
#include "core/stop_check.h"
#include "query/diversify.h"

namespace nestor::query {
namespace {

void keep(std::vector<FusionCandidate>& ranked, const std::vector<std::size_t>& positions) {
  std::vector<FusionCandidate> kept;
  kept.reserve(positions.size());
  for (const std::size_t position : positions) kept.push_back(ranked[position]);
  ranked = std::move(kept);
}

Status limit_documents(const SearchPlace& place, std::int64_t most, const StopCheck& stop,
                       std::vector<FusionCandidate>& ranked) {
  constexpr std::size_t kBlock = 256;
  const std::vector<std::uint64_t> ids = row_ids(ranked);
  std::vector<std::string> documents;
  documents.reserve(ids.size());
  for (std::size_t first = 0; first < ids.size(); first += kBlock) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    const auto block = std::span(ids).subspan(first, std::min(kBlock, ids.size() - first));
    NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows,
                            place.store.rows(place.view, place.collection, block));
    for (const storage::Row& row : rows) documents.push_back(row.document_key);
  }
  keep(ranked, limit_per_document(documents, static_cast<std::size_t>(most)));
  return {};
}

// What the mode ranks by, between 0 and 1 beside cosines: the scores of words over the best of
// them, products and distances between the lowest and the highest.
std::vector<double> relevance_of(const std::vector<FusionCandidate>& ranked, SearchMode mode,
                                 Metric metric) {
  std::vector<double> relevance;
  relevance.reserve(ranked.size());
  for (const FusionCandidate& one : ranked) {
    relevance.push_back(mode == SearchMode::kVector    ? one.cosine
                        : mode == SearchMode::kKeyword ? one.keyword
                                                       : one.fused);
  }
  const bool cosines = mode == SearchMode::kVector && metric == Metric::kCosine;
  if (cosines || relevance.empty()) return relevance;
  const auto [low, high] = std::minmax_element(relevance.begin(), relevance.end());
  const double least = mode == SearchMode::kVector ? *low : 0.0;
  const double range = *high - least;
  if (range > 0) {
    for (double& value : relevance) value = (value - least) / range;
  }
  return relevance;
}

Status diversify(const SearchPlace& place, const SearchOptions& options, std::size_t count,
                 std::vector<FusionCandidate>& ranked) {
  const auto width = static_cast<std::size_t>(place.collection.width);
  std::vector<float> vectors(ranked.size() * width);
  NESTOR_RETURN_IF_ERROR(place.store.read_vectors(place.view, place.collection, row_ids(ranked),
                                                  place.collection.width, vectors.data()));
  NESTOR_ASSIGN_OR_RETURN(
      const auto order,
      select_mmr(relevance_of(ranked, options.mode, place.collection.metric), vectors, width,
                 options.diversity_lambda, count, {options.stop, options.deadline}));
  keep(ranked, order);
  return {};
}

}  // namespace

std::int64_t hits_to_select(const SearchOptions& options) {
  return options.rerank ? selected_hits(options) : options.k;
}

Result<std::vector<FusionCandidate>> select_hits(const SearchPlace& place,
                                                 const SearchOptions& options, std::int64_t pool,
                                                 std::vector<FusionCandidate> ranked) {
  const StopCheck stop(options.stop, options.deadline);
  NESTOR_RETURN_IF_ERROR(stop.check());
  if (options.min_score.has_value()) {
    std::erase_if(ranked,
                  [&](const FusionCandidate& one) { return one.cosine < *options.min_score; });
  }
  if (options.per_document > 0) {
    NESTOR_RETURN_IF_ERROR(limit_documents(place, options.per_document, stop, ranked));
  }
  const auto last = static_cast<std::size_t>(selected_hits(options));
  if (options.diversity_lambda < 1) {
    ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(pool)));
    NESTOR_RETURN_IF_ERROR(diversify(place, options, last, ranked));
  }
  ranked.resize(std::min(ranked.size(), last));
  // A callback sees those before the offset too.
  if (!options.rerank) {
    ranked.erase(ranked.begin(),
                 ranked.begin() + std::min<std::ptrdiff_t>(options.offset, std::ssize(ranked)));
  }
  return ranked;
}

}  // namespace nestor::query
