// Database::Impl's searches: the ground they stand on, the coarse pass, words.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/database_impl.h"
#include "query/finish_search.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "query/planner.h"
#include "query/stopwatch.h"

namespace nestor {

using storage::Collection;

Result<Database::Impl::Ground> Database::Impl::ground_of(const Collection& known,
                                                         const SearchOptions& options,
                                                         double& seconds) const {
  const query::Stopwatch time;
  Ground ground{.view = current_view(), .collection = {}, .matching = {}};
  NESTOR_ASSIGN_OR_RETURN(auto found, store->find_collection(*ground.view, known.name));
  ground.collection = found.value_or(known);
  NESTOR_ASSIGN_OR_RETURN(ground.matching,
                          filters.rows_of(*store, *ground.view, ground.collection, options.filter));
  seconds = time.seconds();
  return ground;
}

Result<query::CoarseResult> Database::Impl::pass_over(const LevelIndex& index,
                                                      std::span<const float> query,
                                                      const query::Plan& plan,
                                                      const Ground& ground) const {
  query::CoarseResult coarse{.plan = plan, .candidates = {}};
  const query::Stopwatch time;
  const RowSet* rows = ground.matching.has_value() ? ground.matching->rows.get() : nullptr;
  if (rows != nullptr && plan.candidate_count >= rows->count()) {
    // All of them are candidates: nothing has to be scored to choose.
    coarse.plan.coarse_width = 0;
    for (const std::uint64_t id : rows->to_ids()) coarse.candidates.push_back({.id = id});
  } else if (plan.codes) {
    coarse.bits = index.loaded.index->codes().shape().bits;
    std::shared_ptr<const index::LadderFilter> mask;
    if (rows != nullptr) {
      NESTOR_ASSIGN_OR_RETURN(mask, filters.mask_of(index.collection, ground.matching->rows,
                                                    index.loaded.index->codes()));
    }
    index::LadderTrace trace;
    NESTOR_ASSIGN_OR_RETURN(
        coarse.candidates,
        index.loaded.index->codes().search(
            query, {.scan_count = plan.scan_count, .rank_count = plan.candidate_count}, mask.get(),
            nullptr, &trace));
    coarse.plan.exact = plan.exact || trace.exact;
  } else {
    coarse.bits = 32;
    std::function<bool(std::uint64_t)> admits;
    if (rows != nullptr) admits = [rows](std::uint64_t id) { return rows->contains(id); };
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            index.loaded.index->at(plan.coarse_width)
                                .search(query.first(static_cast<std::size_t>(plan.coarse_width)),
                                        plan.candidate_count, admits));
  }
  coarse.seconds = time.seconds();
  return coarse;
}

Result<query::CoarseResult> Database::Impl::coarse_pass(std::span<const float> query,
                                                        const SearchOptions& options,
                                                        Ground& ground) const {
  // A writer may commit between the filter and the pass: then the filter is asked again, and in the
  // end the writer waits.
  constexpr int kTriesBesideWriters = 3;
  double filter_seconds = 0;
  for (int tries = 0;; ++tries) {
    NESTOR_ASSIGN_OR_RETURN(ground, ground_of(ground.collection, options, filter_seconds));
    const std::int64_t may_be_found =
        ground.matching.has_value() ? ground.matching->row_count : ground.collection.passages;
    NESTOR_ASSIGN_OR_RETURN(query::Plan plan,
                            query::make_plan(options, ground.collection.width,
                                             !ground.collection.external, may_be_found));
    NESTOR_RETURN_IF_ERROR(ensure_index(options.collection, plan));
    const std::shared_lock lock(state);
    const auto found = indexes.find(options.collection);
    if (found == indexes.end() ||
        (!plan.codes && !found->second.loaded.index->has_width(plan.coarse_width))) {
      continue;
    }
    if (found->second.collection.sequence != ground.collection.sequence) {
      if (tries < kTriesBesideWriters) continue;
      ground.view = view;
      ground.collection = found->second.collection;
      NESTOR_ASSIGN_OR_RETURN(ground.matching, filters.rows_of(*store, *ground.view,
                                                               ground.collection, options.filter));
      NESTOR_ASSIGN_OR_RETURN(
          plan, query::make_plan(options, ground.collection.width, !ground.collection.external,
                                 ground.matching.has_value() ? ground.matching->row_count
                                                             : ground.collection.passages));
    }
    NESTOR_ASSIGN_OR_RETURN(query::CoarseResult coarse,
                            pass_over(found->second, query, plan, ground));
    coarse.filter_seconds = filter_seconds;
    return coarse;
  }
}

Result<SearchResult> Database::Impl::search_with(std::span<const float> query,
                                                 const SearchOptions& options,
                                                 const QueryWords& words,
                                                 SearchResult result) const {
  NESTOR_ASSIGN_OR_RETURN(auto found, find(*current_view(), options.collection));
  if (!found.has_value() || found->passages == 0) return result;
  Ground ground{.view = nullptr, .collection = std::move(*found), .matching = {}};
  query::CoarseResult coarse;
  if (options.mode == SearchMode::kKeyword) {
    NESTOR_ASSIGN_OR_RETURN(ground, ground_of(ground.collection, options, coarse.filter_seconds));
  } else {
    NESTOR_ASSIGN_OR_RETURN(coarse, coarse_pass(query, options, ground));
  }
  const RowSet* rows = ground.matching.has_value() ? ground.matching->rows.get() : nullptr;
  coarse.matching = rows != nullptr ? rows->count() : ground.collection.passages;
  query::Words looked_up{.search = keywords, .query = words.query};
  NESTOR_RETURN_IF_ERROR(query::finish_search(
      {.store = *store, .view = *ground.view, .collection = ground.collection, .rows = rows}, query,
      options, coarse, looked_up, options.snippet_bytes > 0 ? words.analyzer.get() : nullptr,
      result));
  return result;
}

Result<std::vector<float>> Database::Impl::embed_question(std::string_view text,
                                                          const Collection& collection,
                                                          const SearchOptions& options,
                                                          SearchResult& result) const {
  NESTOR_ASSIGN_OR_RETURN(const query::EncoderPointer encoder_in_use, encoder());
  NESTOR_RETURN_IF_ERROR(query::check_space(collection, encoder_in_use->info()));
  result.explain.backend = encoder_in_use->info().backend;
  result.explain.precision = encoder_in_use->info().precision;
  const query::Stopwatch time;
  const EmbedInput input{.text = text};
  NESTOR_ASSIGN_OR_RETURN(
      std::vector<Embedding> embedded,
      encoder_in_use->encode({&input, 1}, options.role, {.stop = options.stop}));
  result.explain.embed_seconds = time.seconds();
  result.query_token_count = embedded[0].token_count;
  result.query_truncated = embedded[0].truncated;
  return std::move(embedded[0].vector);
}

Result<SearchResult> Database::Impl::search_text(std::string_view text,
                                                 const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  if (const auto offset = find_invalid_utf8(text)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("the question is not UTF-8 at byte {}", *offset));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
  if (!collection.has_value()) return SearchResult{};
  const bool only_words = options.mode == SearchMode::kKeyword;
  if (collection->external && !only_words) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("collection '{}' keeps vectors that its callers bring; search it "
                              "with a vector of width {}, or in keyword mode",
                              collection->name, collection->width));
  }
  if (collection->width > 0) {
    // A width the collection lacks is refused before the model is loaded for it.
    const auto plan =
        query::make_plan(options, collection->width, !collection->external, collection->passages);
    if (!plan.ok()) return plan.status();
  }
  QueryWords words;
  if (options.mode != SearchMode::kVector || options.snippet_bytes > 0) {
    NESTOR_ASSIGN_OR_RETURN(words.analyzer,
                            query::TextAnalyzer::make(query::language_of(*collection)));
    NESTOR_ASSIGN_OR_RETURN(words.query, query::parse_keyword_query(text, *words.analyzer));
  }
  SearchResult result;
  if (collection->external) return search_with({}, options, words, std::move(result));
  Result<std::vector<float>> vector = embed_question(text, *collection, options, result);
  if (!vector.ok()) {
    // Words need no model; only the cosines beside them do.
    if (!only_words || vector.status().code() != StatusCode::kModelMissing) return vector.status();
    log_to(log, LogLevel::kInfo, "no cosines beside the words: " + vector.status().message());
    return search_with({}, options, words, std::move(result));
  }
  return search_with(vector.value(), options, words, std::move(result));
}

Result<SearchResult> Database::Impl::search_vector(std::span<const float> vector,
                                                   const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  if (options.mode != SearchMode::kVector) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("a vector has no words to search by in {} mode; ask in text, or in "
                              "vector mode",
                              search_mode_name(options.mode)));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
  if (!collection.has_value() || collection->width == 0) return SearchResult{};
  NESTOR_RETURN_IF_ERROR(query::check_vector(vector, collection->width, "the query"));
  return search_with(vector, options, QueryWords{}, SearchResult{});
}

}  // namespace nestor
