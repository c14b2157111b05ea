#include "query/searcher.h"

#include <algorithm>
#include <utility>

#include "core/macros.h"
#include "query/query_vectors.h"
#include "query/selection.h"
#include "query/stopwatch.h"

namespace nestor::query {

using storage::Collection;

std::int64_t Searcher::SearchSnapshot::may_be_found() const {
  return matching.has_value() ? matching->row_count : collection().passages;
}

Result<std::optional<Searcher::SearchSnapshot>> Searcher::snapshot(StatePointer state,
                                                                   const PreparedQuery& query,
                                                                   const SearchOptions& options) {
  const StopCheck stop(options.stop, options.deadline);
  for (;; state = context_.published.get()) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry,
                            context_.use(state, options.collection));
    if (entry == nullptr || entry->collection.passages == 0) return std::optional<SearchSnapshot>();
    const Collection& collection = entry->collection;
    if (!query.vectors.empty() && collection.id != query.collection_id) {
      return Status(StatusCode::kModelMismatch,
                    "collection '" + collection.name +
                        "' got another model (`nestor reembed`) while this search ran; ask again");
    }
    SearchSnapshot made{.state = state, .entry = entry};
    if (options.mode != SearchMode::kKeyword) {
      NESTOR_ASSIGN_OR_RETURN(
          const Plan plan,
          make_plan(options, collection.width, !collection.external, collection.passages));
      NESTOR_ASSIGN_OR_RETURN(
          made.index, indexes_.get(*state, *entry, plan.codes ? 0 : plan.coarse_width, stop));
      if (made.index == nullptr) continue;
      if (entry->index == nullptr) indexes_.start_lists(collection.name);
    }
    NESTOR_RETURN_IF_ERROR(apply_filter(query, options, made));
    return std::optional<SearchSnapshot>(std::move(made));
  }
}

Status Searcher::apply_filter(const PreparedQuery& query, const SearchOptions& options,
                              SearchSnapshot& snapshot) {
  const Stopwatch time;
  const storage::DocumentStore::View& view = *snapshot.state->view;
  NESTOR_ASSIGN_OR_RETURN(
      snapshot.matching, rows_that_may_be_found(store_, view, snapshot.collection(), options.filter,
                                                *snapshot.entry->filters));
  for (const std::string& key : query.excluded) {
    NESTOR_ASSIGN_OR_RETURN(const auto document,
                            store_.find_document(view, snapshot.collection().id, key));
    for (std::int64_t i = 0; document.has_value() && i < document->passage_count; ++i)
      snapshot.excluded.push_back(document->first_row_id + static_cast<std::uint64_t>(i));
  }
  std::sort(snapshot.excluded.begin(), snapshot.excluded.end());
  snapshot.filter_seconds = time.seconds();
  return {};
}

// As many candidates more as may turn out to be excluded.
Result<Plan> Searcher::plan_for(const SearchOptions& options, const SearchSnapshot& snapshot,
                                std::int64_t wanted) {
  const std::int64_t passages = snapshot.may_be_found();
  const Collection& collection = snapshot.collection();
  NESTOR_ASSIGN_OR_RETURN(Plan plan,
                          make_plan(options, collection.width, !collection.external, passages,
                                    &snapshot.index->index.calibration(), wanted));
  if (snapshot.excluded.empty()) return plan;
  plan.candidate_count = std::min(plan.candidate_count + std::ssize(snapshot.excluded), passages);
  plan.scan_count = plan.codes ? std::max(plan.scan_count, plan.candidate_count) : 0;
  plan.exact |= plan.candidate_count >= passages;
  return plan;
}

bool Searcher::takes_all(const CollectionIndex& index, const Plan& plan,
                         const SearchSnapshot& snapshot) {
  if (!snapshot.matching.has_value()) return false;
  // So few are all scored: from cached rows that is quicker than a scan that may miss some.
  constexpr std::int64_t kFewCached = 1024;
  const std::int64_t count = snapshot.matching->rows->count();
  const bool few = plan.recall_target > 0 && index.rows() != nullptr && count <= kFewCached;
  return few || plan.candidate_count >= count;
}

Result<std::shared_ptr<const index::LadderFilter>> Searcher::mask_for(
    const SearchSnapshot& snapshot, Plan& plan) {
  if (!snapshot.matching.has_value()) return std::shared_ptr<const index::LadderFilter>();
  const RowSetPointer& rows = snapshot.matching->rows;
  if (plan.recall_target > 0) deepen(plan, rows->count());
  return context_.masks.mask_of(rows, snapshot.index->index.codes());
}

Result<CoarseResult> Searcher::candidates_of_vector(const SearchSnapshot& snapshot,
                                                    std::span<const float> vector, const Plan& plan,
                                                    std::int64_t wanted, const FirstRound* first,
                                                    const StopCheck& stop) {
  NESTOR_RETURN_IF_ERROR(stop.check());
  CoarseResult coarse{.plan = plan, .candidates = {}};
  const Stopwatch time;
  const CollectionIndex& index = snapshot.index->index;
  const RowSet* rows = snapshot.matching.has_value() ? snapshot.matching->rows.get() : nullptr;
  const bool full_rerank = plan.rerank_width == snapshot.collection().width;
  Status cut;
  if (takes_all(index, plan, snapshot)) {
    coarse.plan.coarse_width = 0;
    coarse.plan.candidate_count = rows->count();
    coarse.plan.exact = true;
    for (const std::uint64_t id : rows->to_ids()) coarse.candidates.push_back({.id = id});
    if (full_rerank) cut = index.cut_candidates(vector, wanted, coarse.candidates);
  } else if (plan.codes) {
    coarse.bits = index.codes().shape().bits;
    NESTOR_ASSIGN_OR_RETURN(const auto mask, mask_for(snapshot, coarse.plan));
    if (first != nullptr) coarse.seconds = first->seconds;
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            index.search_codes(vector, wanted, mask.get(), snapshot.may_be_found(),
                                               coarse.plan, cut, first));
  } else {
    coarse.bits = 32;
    coarse.ranked = plan.coarse_width == plan.rerank_width;
    std::function<bool(std::uint64_t)> admits;
    if (rows != nullptr) admits = [rows](std::uint64_t id) { return rows->contains(id); };
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            index.at(plan.coarse_width)
                                .search(vector.first(static_cast<std::size_t>(plan.coarse_width)),
                                        plan.candidate_count, admits, stop));
    if (!coarse.ranked && full_rerank) {
      coarse.plan.candidate_count = std::ssize(coarse.candidates);
      cut = index.cut_candidates(vector, wanted, coarse.candidates);
    }
  }
  if (!cut.ok() && index.distrust_rows()) {
    context_.log(LogLevel::kWarning, "row cache left aside: " + cut.message());
  }
  coarse.seconds += time.seconds();
  return coarse;
}

Result<CoarseResult> Searcher::generate_candidates(const SearchSnapshot& snapshot,
                                                   const PreparedQuery& query,
                                                   const SearchOptions& options,
                                                   std::int64_t wanted, const FirstRound* first) {
  CoarseResult all;
  if (options.mode != SearchMode::kKeyword) {
    const StopCheck stop(options.stop, options.deadline);
    NESTOR_ASSIGN_OR_RETURN(const Plan plan, plan_for(options, snapshot, wanted));
    // Those excluded are among the candidates until the end.
    const std::int64_t kept = wanted + std::ssize(snapshot.excluded);
    bool begun = false;
    for (const auto vector : query_parts(query.vectors, snapshot.collection().width)) {
      NESTOR_ASSIGN_OR_RETURN(CoarseResult one,
                              candidates_of_vector(snapshot, vector, plan, kept, first, stop));
      if (!std::exchange(begun, true)) {
        all = std::move(one);
        continue;
      }
      all.plan.exact &= one.plan.exact;
      // What stands in one list alone may be nearer to another vector, below that one's cut.
      all.ranked = false;
      all.seconds += one.seconds;
      all.candidates = best_of_each(std::move(all.candidates), std::move(one.candidates));
    }
    std::erase_if(all.candidates, [&](const index::Candidate& candidate) {
      return std::binary_search(snapshot.excluded.begin(), snapshot.excluded.end(), candidate.id);
    });
  }
  all.filter_seconds = snapshot.filter_seconds;
  all.matching = snapshot.may_be_found();
  return all;
}

std::int64_t Searcher::first_depth(const SearchSnapshot& snapshot, const SearchOptions& options) {
  return std::min(wanted_hits(options), std::max<std::int64_t>(snapshot.may_be_found(), 1));
}

Result<SearchResult> Searcher::run(const SearchSnapshot& snapshot, PreparedQuery& query,
                                   const SearchOptions& options, SearchResult result,
                                   const FirstRound* first) {
  const SearchPlace place{
      .store = store_,
      .view = *snapshot.state->view,
      .collection = snapshot.collection(),
      .rows = snapshot.matching.has_value() ? snapshot.matching->rows.get() : nullptr,
      .left_out = snapshot.excluded};
  Words words{.search = context_.keywords, .query = query.words, .text = query.text};
  constexpr std::int64_t kWiden = 4;
  double coarse_seconds = 0;
  SelectedHits selected;
  for (std::int64_t wanted = first_depth(snapshot, options);;
       wanted = std::min(kWiden * wanted, snapshot.may_be_found())) {
    NESTOR_ASSIGN_OR_RETURN(CoarseResult coarse,
                            generate_candidates(snapshot, query, options, wanted, first));
    coarse.seconds += std::exchange(coarse_seconds, coarse_seconds + coarse.seconds);
    NESTOR_ASSIGN_OR_RETURN(selected, rank_and_select(place, query.vectors, options, coarse, wanted,
                                                      words, result.explain));
    if (selected.complete || std::ssize(selected.hits) >= hits_to_select(options)) break;
    first = nullptr;
  }
  NESTOR_RETURN_IF_ERROR(finish_search(place, query.vectors, options, selected.hits, words,
                                       options.snippet_bytes > 0 ? query.analyzer.get() : nullptr,
                                       result));
  return result;
}

}  // namespace nestor::query
