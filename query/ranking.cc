#include "query/ranking.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "core/macros.h"
#include "core/stop_check.h"
#include "index/reranker.h"
#include "query/query_vectors.h"
#include "query/stopwatch.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

class Ranking {
 public:
  Ranking(const SearchPlace& place, std::span<const float> query, const SearchOptions& options,
          const CoarseResult& coarse, std::int64_t wanted, Words& words, Explanation& explain)
      : place_(place),
        source_(place.store, place.view, place.collection),
        query_(query),
        options_(options),
        stop_(options.stop, options.deadline),
        coarse_(coarse),
        wanted_(wanted),
        words_(words),
        explain_(explain) {}

  Result<std::vector<FusionCandidate>> by_vector() {
    std::vector<FusionCandidate> ranked;
    if (coarse_.ranked) {
      for (const index::Candidate& candidate : coarse_.candidates) {
        ranked.push_back({.row_id = candidate.id,
                          .cosine = shown_score(place_.collection.metric, candidate.score)});
      }
      return ranked;
    }
    std::vector<std::uint64_t> ids;
    ids.reserve(coarse_.candidates.size());
    for (const index::Candidate& candidate : coarse_.candidates) ids.push_back(candidate.id);
    return with_cosine(ids, coarse_.plan.rerank_width);
  }

  Result<std::vector<FusionCandidate>> by_words() {
    NESTOR_ASSIGN_OR_RETURN(const KeywordRanking found, find_words());
    std::vector<FusionCandidate> ranked;
    for (const KeywordHit& hit : found.hits)
      ranked.push_back({.row_id = hit.row_id, .keyword = hit.score});
    if (query_.empty()) return ranked;
    NESTOR_ASSIGN_OR_RETURN(const auto cosines,
                            with_cosine(row_ids(ranked), place_.collection.width));
    std::unordered_map<std::uint64_t, double> cosine_of;
    for (const FusionCandidate& one : cosines) cosine_of[one.row_id] = one.cosine;
    for (FusionCandidate& one : ranked) one.cosine = cosine_of[one.row_id];
    return ranked;
  }

  Result<std::vector<FusionCandidate>> by_both() {
    NESTOR_ASSIGN_OR_RETURN(std::vector<FusionCandidate> candidates, by_vector());
    const auto depth = static_cast<std::size_t>(wanted_);
    if (candidates.size() > depth) candidates.resize(depth);
    NESTOR_ASSIGN_OR_RETURN(const KeywordRanking found, find_words());
    NESTOR_RETURN_IF_ERROR(add_word_scores(candidates));
    std::unordered_set<std::uint64_t> known;
    for (const FusionCandidate& one : candidates) known.insert(one.row_id);
    std::vector<std::uint64_t> only_words;
    std::unordered_map<std::uint64_t, double> score_of;
    for (const KeywordHit& hit : found.hits) {
      if (known.contains(hit.row_id)) continue;
      only_words.push_back(hit.row_id);
      score_of[hit.row_id] = hit.score;
    }
    NESTOR_ASSIGN_OR_RETURN(const auto others, with_cosine(only_words, coarse_.plan.rerank_width));
    for (FusionCandidate one : others) {
      one.keyword = score_of[one.row_id];
      candidates.push_back(one);
    }
    return fused(std::move(candidates), found.bound);
  }

  [[nodiscard]] bool complete() const {
    const bool everything = wanted_ >= coarse_.matching;
    return everything || (options_.mode == SearchMode::kKeyword && all_words_found_);
  }

 private:
  // All of them, best score first: of several vectors the best over them.
  Result<std::vector<FusionCandidate>> with_cosine(std::span<const std::uint64_t> ids, int width) {
    const Stopwatch time;
    std::vector<index::Candidate> best;
    for (const auto vector : query_parts(query_, place_.collection.width)) {
      NESTOR_ASSIGN_OR_RETURN(auto scored, scored_by(vector, ids, width));
      best = best_of_each(std::move(best), std::move(scored));
    }
    explain_.rerank_seconds += time.seconds();
    std::vector<FusionCandidate> ranked;
    ranked.reserve(best.size());
    for (const index::Candidate& one : best) {
      ranked.push_back(
          {.row_id = one.id, .cosine = shown_score(place_.collection.metric, one.score)});
    }
    return ranked;
  }

  Result<std::vector<index::Candidate>> scored_by(std::span<const float> vector,
                                                  std::span<const std::uint64_t> ids,
                                                  int width) const {
    return index::rerank(source_, vector, width, ids, static_cast<std::int64_t>(ids.size()),
                         place_.collection.metric, stop_);
  }

  Result<KeywordRanking> find_words() {
    const Stopwatch time;
    KeywordOptions options;
    options.k = wanted_;
    options.stop = stop_;
    if (place_.rows != nullptr || !place_.left_out.empty()) {
      options.filter = [rows = place_.rows, left_out = place_.left_out](std::uint64_t id) {
        return (rows == nullptr || rows->contains(id)) &&
               !std::binary_search(left_out.begin(), left_out.end(), id);
      };
    }
    Result<KeywordRanking> found =
        words_.search.search(place_.store, place_.view, place_.collection, words_.query, options);
    explain_.keyword_seconds += time.seconds();
    if (found.ok()) {
      explain_.keyword_count = static_cast<std::int64_t>(found.value().hits.size());
      all_words_found_ = explain_.keyword_count < wanted_;
    }
    return found;
  }

  // What a required or an excluded phrase rules out goes.
  Status add_word_scores(std::vector<FusionCandidate>& candidates) {
    const Stopwatch time;
    NESTOR_ASSIGN_OR_RETURN(const auto scores,
                            words_.search.scores(place_.store, place_.view, place_.collection,
                                                 words_.query, row_ids(candidates)));
    std::size_t kept = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (!scores[i].has_value()) continue;
      candidates[kept] = candidates[i];
      candidates[kept++].keyword = *scores[i];
    }
    candidates.resize(kept);
    explain_.keyword_seconds += time.seconds();
    return {};
  }

  Result<std::vector<FusionCandidate>> fused(std::vector<FusionCandidate> candidates,
                                             double bound) const {
    const FusionOptions& how = options_.fusion;
    if (how.method == FusionOptions::Method::kReciprocalRank) {
      return fuse(std::move(candidates),
                  RankFusion{.k = how.rank_constant, .vector_weight = how.weight()});
    }
    return fuse(std::move(candidates),
                WeightedFusion{.vector_weight = how.weight(), .keyword_bound = bound});
  }

  const SearchPlace& place_;
  const StoreSource source_;
  std::span<const float> query_;
  const SearchOptions& options_;
  const StopCheck stop_;
  const CoarseResult& coarse_;
  const std::int64_t wanted_;
  Words& words_;
  Explanation& explain_;
  bool all_words_found_ = false;  // no passage with them is left out
};

}  // namespace

Result<RankedPassages> rank_passages(const SearchPlace& place, std::span<const float> query,
                                     const SearchOptions& options, const CoarseResult& coarse,
                                     std::int64_t wanted, Words& words, Explanation& explain) {
  Ranking ranking(place, query, options, coarse, wanted, words, explain);
  const auto by_mode = [&]() -> Result<std::vector<FusionCandidate>> {
    switch (options.mode) {
      case SearchMode::kVector:
        return ranking.by_vector();
      case SearchMode::kKeyword:
        return ranking.by_words();
      case SearchMode::kHybrid:
        return ranking.by_both();
    }
    return Status(StatusCode::kInvalidArgument, "no such search mode");
  };
  NESTOR_ASSIGN_OR_RETURN(std::vector<FusionCandidate> passages, by_mode());
  return RankedPassages{.passages = std::move(passages), .complete = ranking.complete()};
}

}  // namespace nestor::query
