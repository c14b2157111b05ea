// Database::Impl's searches: the ground they stand on and the coarse pass.
#include <algorithm>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "query/database_impl.h"
#include "query/finish_search.h"
#include "query/planner.h"
#include "query/query_vectors.h"
#include "query/stopwatch.h"

namespace nestor {

using storage::Collection;
using ViewPointer = storage::DocumentStore::ViewPointer;

std::int64_t Database::Impl::Ground::may_be_found() const {
  return matching.has_value() ? matching->row_count : collection.passages;
}

bool Database::Impl::Ground::is_like(const Ground& other) const {
  const auto rows_of = [](const Ground& ground) {
    return ground.matching.has_value() ? ground.matching->rows : nullptr;
  };
  return collection.id == other.collection.id && collection.sequence == other.collection.sequence &&
         rows_of(*this) == rows_of(other);
}

Result<Database::Impl::Ground> Database::Impl::ground_in(ViewPointer seen, Collection collection,
                                                         const Question& question,
                                                         const SearchOptions& options) const {
  if (!question.vectors.empty() && collection.id != question.collection_id) {
    return Status(StatusCode::kModelMismatch,
                  "collection '" + collection.name +
                      "' got another model (`nestor reembed`) while this search ran; ask again");
  }
  const query::Stopwatch time;
  Ground ground{
      .view = std::move(seen), .collection = std::move(collection), .matching = {}, .left_out = {}};
  NESTOR_ASSIGN_OR_RETURN(ground.matching,
                          filters.rows_of(*store, *ground.view, ground.collection, options.filter));
  for (const std::string& key : question.left_out) {
    NESTOR_ASSIGN_OR_RETURN(const auto document,
                            store->find_document(*ground.view, ground.collection.id, key));
    for (std::int64_t i = 0; document.has_value() && i < document->passage_count; ++i)
      ground.left_out.push_back(document->first_row_id + static_cast<std::uint64_t>(i));
  }
  std::sort(ground.left_out.begin(), ground.left_out.end());
  ground.filter_seconds = time.seconds();
  return ground;
}

Result<std::optional<Database::Impl::Ground>> Database::Impl::newest_ground(
    const Question& question, const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  ViewPointer seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(auto found, find(*seen, options.collection));
  if (!found.has_value() || found->passages == 0) return std::optional<Ground>();
  NESTOR_ASSIGN_OR_RETURN(Ground ground,
                          ground_in(std::move(seen), std::move(*found), question, options));
  return std::optional<Ground>(std::move(ground));
}

Status Database::Impl::check_plan(const SearchOptions& options,
                                  const Collection& collection) const {
  if (collection.width == 0) return {};
  return query::make_plan(options, collection.width, !collection.external, collection.passages)
      .status();
}

// As many candidates more as may turn out to be left out.
Result<query::Plan> Database::Impl::plan_for(const SearchOptions& options, const Ground& ground,
                                             const index::Calibration* calibration) const {
  const std::int64_t rows = ground.may_be_found();
  NESTOR_ASSIGN_OR_RETURN(query::Plan plan,
                          query::make_plan(options, ground.collection.width,
                                           !ground.collection.external, rows, calibration));
  if (ground.left_out.empty()) return plan;
  plan.candidate_count = std::min(plan.candidate_count + std::ssize(ground.left_out), rows);
  plan.scan_count = plan.codes ? std::max(plan.scan_count, plan.candidate_count) : 0;
  plan.exact |= plan.candidate_count >= rows;
  return plan;
}

bool Database::Impl::takes_all_rows(const query::CollectionIndex& index, const query::Plan& plan,
                                    const Ground& ground) {
  if (!ground.matching.has_value()) return false;
  // So few are all scored: from cached rows that is quicker than a scan that may miss some.
  constexpr std::int64_t kFewCached = 1024;
  const std::int64_t count = ground.matching->rows->count();
  const bool few = plan.recall_target > 0 && index.rows() != nullptr && count <= kFewCached;
  return few || plan.candidate_count >= count;
}

Result<std::shared_ptr<const index::LadderFilter>> Database::Impl::mask_for(
    const LevelIndex& index, const Ground& ground, query::Plan& plan) const {
  if (!ground.matching.has_value()) return std::shared_ptr<const index::LadderFilter>();
  const query::RowSetPointer& rows = ground.matching->rows;
  if (plan.recall_target > 0) query::deepen(plan, rows->count());
  return filters.mask_of(index.collection, rows, index.loaded.index->codes());
}

Result<query::CoarseResult> Database::Impl::pass_over(const LevelIndex& index,
                                                      std::span<const float> query,
                                                      const query::Plan& plan, std::int64_t wanted,
                                                      const Ground& ground,
                                                      const query::FirstRound* first,
                                                      const StopCheck& stop) const {
  NESTOR_RETURN_IF_ERROR(stop.check());
  query::CoarseResult coarse{.plan = plan, .candidates = {}};
  const query::Stopwatch time;
  const query::CollectionIndex& searched = *index.loaded.index;
  const RowSet* rows = ground.matching.has_value() ? ground.matching->rows.get() : nullptr;
  Status cut;
  if (takes_all_rows(searched, plan, ground)) {
    coarse.plan.coarse_width = 0;
    coarse.plan.candidate_count = rows->count();
    coarse.plan.exact = true;
    for (const std::uint64_t id : rows->to_ids()) coarse.candidates.push_back({.id = id});
    if (plan.rerank_width == index.collection.width) {
      cut = searched.cut_candidates(query, wanted, coarse.candidates);
    }
  } else if (plan.codes) {
    coarse.bits = searched.codes().shape().bits;
    NESTOR_ASSIGN_OR_RETURN(const auto mask, mask_for(index, ground, coarse.plan));
    if (first != nullptr) coarse.seconds = first->seconds;
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            searched.search_codes(query, wanted, mask.get(), ground.may_be_found(),
                                                  coarse.plan, cut, first));
  } else {
    coarse.bits = 32;
    coarse.ranked = plan.coarse_width == plan.rerank_width;
    std::function<bool(std::uint64_t)> admits;
    if (rows != nullptr) admits = [rows](std::uint64_t id) { return rows->contains(id); };
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            searched.at(plan.coarse_width)
                                .search(query.first(static_cast<std::size_t>(plan.coarse_width)),
                                        plan.candidate_count, admits, stop));
    if (!coarse.ranked && plan.rerank_width == index.collection.width) {
      coarse.plan.candidate_count = std::ssize(coarse.candidates);
      cut = searched.cut_candidates(query, wanted, coarse.candidates);
    }
  }
  if (!cut.ok() && searched.distrust_rows()) {
    log_to(log, LogLevel::kWarning, "row cache left aside: " + cut.message());
  }
  coarse.seconds += time.seconds();
  return coarse;
}

Result<query::CoarseResult> Database::Impl::pass_over_all(
    const LevelIndex& index, const Question& question, const query::Plan& plan, std::int64_t wanted,
    const Ground& ground, const Before& before, const StopCheck& stop) const {
  // What was found before holds for the rows it was found among.
  const query::FirstRound* const first =
      before.ground != nullptr && before.ground->is_like(ground) ? before.round : nullptr;
  // Those left out are among the candidates until the end.
  wanted += std::ssize(ground.left_out);
  std::optional<query::CoarseResult> all;
  for (const auto vector : query::query_parts(question.vectors, index.collection.width)) {
    NESTOR_ASSIGN_OR_RETURN(query::CoarseResult one,
                            pass_over(index, vector, plan, wanted, ground, first, stop));
    if (!all.has_value()) {
      all.emplace(std::move(one));
      continue;
    }
    all->plan.exact &= one.plan.exact;
    // What stands in one list alone may be nearer to another vector, below that one's cut.
    all->ranked = false;
    all->seconds += one.seconds;
    all->candidates = query::best_of_each(std::move(all->candidates), std::move(one.candidates));
  }
  std::erase_if(all->candidates, [&](const index::Candidate& candidate) {
    return std::binary_search(ground.left_out.begin(), ground.left_out.end(), candidate.id);
  });
  return std::move(*all);
}

Result<std::optional<query::CoarseResult>> Database::Impl::coarse_pass(
    const Question& question, const SearchOptions& options, std::optional<Ground>& ground,
    const Before& before) const {
  const StopCheck stop(options.stop, options.deadline);
  // A writer may commit between the filter and the pass: then the filter is asked again, and in the
  // end the writer waits.
  constexpr int kTriesBesideWriters = 3;
  for (int tries = 0; ground.has_value(); ++tries) {
    query::Plan plan;
    bool ready = false;
    {
      const std::shared_lock lock(state);
      const auto found = indexes.find(options.collection);
      const index::Calibration* const calibration =
          found == indexes.end() ? nullptr : &found->second.loaded.index->calibration();
      NESTOR_ASSIGN_OR_RETURN(plan, plan_for(options, *ground, calibration));
      ready = found != indexes.end() &&
              (plan.codes || found->second.loaded.index->has_width(plan.coarse_width));
      const bool level = ready && found->second.collection.sequence == ground->collection.sequence;
      if (ready && !level && tries >= kTriesBesideWriters) {
        NESTOR_ASSIGN_OR_RETURN(ground,
                                ground_in(view, found->second.collection, question, options));
        NESTOR_ASSIGN_OR_RETURN(plan, plan_for(options, *ground, calibration));
      }
      if (level || (ready && tries >= kTriesBesideWriters)) {
        NESTOR_ASSIGN_OR_RETURN(query::CoarseResult coarse,
                                pass_over_all(found->second, question, plan,
                                              query::wanted_hits(options), *ground, before, stop));
        return std::optional<query::CoarseResult>(std::move(coarse));
      }
    }
    if (!ready) {
      NESTOR_RETURN_IF_ERROR(ensure_index(options.collection, plan));
      start_lists(options.collection);
    }
    NESTOR_ASSIGN_OR_RETURN(ground, newest_ground(question, options));
  }
  return std::optional<query::CoarseResult>();
}

Result<SearchResult> Database::Impl::search_with(const Question& question,
                                                 const SearchOptions& options, SearchResult result,
                                                 const Before& before) const {
  std::optional<Ground> ground;
  if (before.ground != nullptr) {
    ground = *before.ground;
  } else {
    NESTOR_ASSIGN_OR_RETURN(ground, newest_ground(question, options));
  }
  std::optional<query::CoarseResult> coarse;
  if (options.mode == SearchMode::kKeyword) {
    coarse.emplace();
  } else {
    NESTOR_ASSIGN_OR_RETURN(coarse, coarse_pass(question, options, ground, before));
  }
  if (!ground.has_value()) return result;
  coarse->filter_seconds = ground->filter_seconds;
  coarse->matching = ground->may_be_found();
  query::Words looked_up{.search = keywords, .query = question.words, .text = question.text};
  NESTOR_RETURN_IF_ERROR(query::finish_search(
      {.store = *store,
       .view = *ground->view,
       .collection = ground->collection,
       .rows = ground->matching.has_value() ? ground->matching->rows.get() : nullptr,
       .left_out = ground->left_out},
      question.vectors, options, *coarse, looked_up,
      options.snippet_bytes > 0 ? question.analyzer.get() : nullptr, result));
  return result;
}

}  // namespace nestor
