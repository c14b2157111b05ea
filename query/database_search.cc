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
using ViewPointer = storage::DocumentStore::ViewPointer;

namespace {

Result<query::Plan> plan_for(const SearchOptions& options, const Collection& collection,
                             std::int64_t may_be_found,
                             const index::Calibration* calibration = nullptr) {
  return query::make_plan(options, collection.width, !collection.external, may_be_found,
                          calibration);
}

}  // namespace

std::int64_t Database::Impl::Ground::may_be_found() const {
  return matching.has_value() ? matching->row_count : collection.passages;
}

Result<Database::Impl::Ground> Database::Impl::ground_in(ViewPointer seen, Collection collection,
                                                         const SearchOptions& options) const {
  const query::Stopwatch time;
  Ground ground{.view = std::move(seen), .collection = std::move(collection), .matching = {}};
  NESTOR_ASSIGN_OR_RETURN(ground.matching,
                          filters.rows_of(*store, *ground.view, ground.collection, options.filter));
  ground.filter_seconds = time.seconds();
  return ground;
}

Result<std::optional<Database::Impl::Ground>> Database::Impl::newest_ground(
    const SearchOptions& options) const {
  ViewPointer seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(auto found, find(*seen, options.collection));
  if (!found.has_value() || found->passages == 0) return std::optional<Ground>();
  NESTOR_ASSIGN_OR_RETURN(Ground ground, ground_in(std::move(seen), std::move(*found), options));
  return std::optional<Ground>(std::move(ground));
}

Result<query::CoarseResult> Database::Impl::pass_over(const LevelIndex& index,
                                                      std::span<const float> query,
                                                      const query::Plan& plan, std::int64_t wanted,
                                                      const Ground& ground) const {
  query::CoarseResult coarse{.plan = plan, .candidates = {}};
  const query::Stopwatch time;
  const query::CollectionIndex& searched = *index.loaded.index;
  const RowSet* rows = ground.matching.has_value() ? ground.matching->rows.get() : nullptr;
  Status cut;
  // So few are all scored: from cached rows that is quicker than a scan that may miss some.
  constexpr std::int64_t kFewCached = 1024;
  const bool few = rows != nullptr && plan.recall_target > 0 && searched.rows() != nullptr &&
                   rows->count() <= kFewCached;
  if (rows != nullptr && (few || plan.candidate_count >= rows->count())) {
    // All of them are candidates: nothing has to be scored to choose.
    coarse.plan.coarse_width = 0;
    coarse.plan.candidate_count = rows->count();
    coarse.plan.exact = true;
    for (const std::uint64_t id : rows->to_ids()) coarse.candidates.push_back({.id = id});
    if (plan.rerank_width == index.collection.width) {
      cut = searched.cut_candidates(query, wanted, coarse.candidates);
    }
  } else if (plan.codes) {
    coarse.bits = searched.codes().shape().bits;
    std::shared_ptr<const index::LadderFilter> mask;
    if (rows != nullptr) {
      if (plan.recall_target > 0) query::deepen(coarse.plan, rows->count());
      NESTOR_ASSIGN_OR_RETURN(
          mask, filters.mask_of(index.collection, ground.matching->rows, searched.codes()));
    }
    NESTOR_ASSIGN_OR_RETURN(
        coarse.candidates,
        searched.search_codes(query, wanted, mask.get(), ground.may_be_found(), coarse.plan, cut));
  } else {
    coarse.bits = 32;
    coarse.ranked = plan.coarse_width == plan.rerank_width;
    std::function<bool(std::uint64_t)> admits;
    if (rows != nullptr) admits = [rows](std::uint64_t id) { return rows->contains(id); };
    NESTOR_ASSIGN_OR_RETURN(coarse.candidates,
                            searched.at(plan.coarse_width)
                                .search(query.first(static_cast<std::size_t>(plan.coarse_width)),
                                        plan.candidate_count, admits));
    if (!coarse.ranked && plan.rerank_width == index.collection.width) {
      coarse.plan.candidate_count = std::ssize(coarse.candidates);
      cut = searched.cut_candidates(query, wanted, coarse.candidates);
    }
  }
  if (!cut.ok() && searched.distrust_rows()) {
    log_to(log, LogLevel::kWarning, "row cache left aside: " + cut.message());
  }
  coarse.seconds = time.seconds();
  return coarse;
}

Result<std::optional<query::CoarseResult>> Database::Impl::coarse_pass(
    std::span<const float> query, const SearchOptions& options,
    std::optional<Ground>& ground) const {
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
      NESTOR_ASSIGN_OR_RETURN(
          plan, plan_for(options, ground->collection, ground->may_be_found(), calibration));
      ready = found != indexes.end() &&
              (plan.codes || found->second.loaded.index->has_width(plan.coarse_width));
      const bool level = ready && found->second.collection.sequence == ground->collection.sequence;
      if (ready && !level && tries >= kTriesBesideWriters) {
        NESTOR_ASSIGN_OR_RETURN(ground, ground_in(view, found->second.collection, options));
        NESTOR_ASSIGN_OR_RETURN(
            plan, plan_for(options, ground->collection, ground->may_be_found(), calibration));
      }
      if (level || (ready && tries >= kTriesBesideWriters)) {
        NESTOR_ASSIGN_OR_RETURN(
            query::CoarseResult coarse,
            pass_over(found->second, query, plan, query::wanted_hits(options), *ground));
        return std::optional<query::CoarseResult>(std::move(coarse));
      }
    }
    if (!ready) NESTOR_RETURN_IF_ERROR(ensure_index(options.collection, plan));
    NESTOR_ASSIGN_OR_RETURN(ground, newest_ground(options));
  }
  return std::optional<query::CoarseResult>();
}

Result<SearchResult> Database::Impl::search_with(std::span<const float> query,
                                                 const SearchOptions& options,
                                                 const QueryWords& words,
                                                 SearchResult result) const {
  NESTOR_ASSIGN_OR_RETURN(std::optional<Ground> ground, newest_ground(options));
  std::optional<query::CoarseResult> coarse;
  if (options.mode == SearchMode::kKeyword) {
    coarse.emplace();
  } else {
    NESTOR_ASSIGN_OR_RETURN(coarse, coarse_pass(query, options, ground));
  }
  if (!ground.has_value()) return result;
  coarse->filter_seconds = ground->filter_seconds;
  coarse->matching = ground->may_be_found();
  query::Words looked_up{.search = keywords, .query = words.query};
  NESTOR_RETURN_IF_ERROR(query::finish_search(
      {.store = *store,
       .view = *ground->view,
       .collection = ground->collection,
       .rows = ground->matching.has_value() ? ground->matching->rows.get() : nullptr},
      query, options, *coarse, looked_up,
      options.snippet_bytes > 0 ? words.analyzer.get() : nullptr, result));
  return result;
}

Status Database::Impl::embed_questions(std::span<const std::string> questions,
                                       const Collection& collection, const SearchOptions& options,
                                       std::vector<std::vector<float>>& vectors,
                                       std::vector<SearchResult>& results) const {
  NESTOR_ASSIGN_OR_RETURN(const query::EncoderPointer encoder_in_use, encoder());
  NESTOR_RETURN_IF_ERROR(query::check_space(collection, encoder_in_use->info()));
  const query::Stopwatch time;
  std::vector<EmbedInput> inputs;
  for (const std::string& question : questions) inputs.push_back({.text = question});
  NESTOR_ASSIGN_OR_RETURN(std::vector<Embedding> embedded,
                          encoder_in_use->encode(inputs, options.role, {.stop = options.stop}));
  const double seconds = time.seconds();
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    SearchResult& result = results[i];
    result.explain.backend = encoder_in_use->info().backend;
    result.explain.precision = encoder_in_use->info().precision;
    result.explain.embed_seconds = seconds;
    result.query_token_count = embedded[i].token_count;
    result.query_truncated = embedded[i].truncated;
    vectors[i] = std::move(embedded[i].vector);
  }
  return {};
}

Status Database::Impl::check_question_fits(const Collection& collection,
                                           const SearchOptions& options) {
  if (collection.external && options.mode != SearchMode::kKeyword) {
    return {StatusCode::kInvalidArgument,
            fmt::format("collection '{}' keeps vectors that its callers bring; search it with a "
                        "vector of width {}, or in keyword mode",
                        collection.name, collection.width)};
  }
  if (collection.width == 0) return {};
  // A width the collection lacks is refused before the model is loaded for it.
  return plan_for(options, collection, collection.passages).status();
}

Result<Database::Impl::QueryWords> Database::Impl::words_of(std::string_view text,
                                                            const Collection& collection,
                                                            const SearchOptions& options) {
  QueryWords words;
  if (options.mode != SearchMode::kVector || options.snippet_bytes > 0) {
    NESTOR_ASSIGN_OR_RETURN(words.analyzer,
                            query::TextAnalyzer::make(query::language_of(collection)));
    NESTOR_ASSIGN_OR_RETURN(words.query, query::parse_keyword_query(text, *words.analyzer));
  }
  return words;
}

// Words need no model; only the cosines beside them do.
bool Database::Impl::words_are_enough(const Status& embedded, const SearchOptions& options) const {
  if (options.mode != SearchMode::kKeyword || embedded.code() != StatusCode::kModelMissing) {
    return false;
  }
  log_to(log, LogLevel::kInfo, "no cosines beside the words: " + embedded.message());
  return true;
}

Result<SearchResult> Database::Impl::search_text(std::string_view text,
                                                 const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  NESTOR_RETURN_IF_ERROR(query::check_question(text));
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
  if (!collection.has_value()) return SearchResult{};
  NESTOR_RETURN_IF_ERROR(check_question_fits(*collection, options));
  NESTOR_ASSIGN_OR_RETURN(const QueryWords words, words_of(text, *collection, options));
  std::vector<SearchResult> result(1);
  std::vector<std::vector<float>> vector(1);
  if (!collection->external) {
    const std::string question(text);
    const Status embedded = embed_questions({&question, 1}, *collection, options, vector, result);
    if (!embedded.ok() && !words_are_enough(embedded, options)) return embedded;
  }
  return search_with(vector[0], options, words, std::move(result[0]));
}

Status Database::Impl::check_vector_mode(const SearchOptions& options) {
  if (options.mode == SearchMode::kVector) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("a vector has no words to search by in {} mode; ask in text, or in vector "
                      "mode",
                      search_mode_name(options.mode))};
}

Result<SearchResult> Database::Impl::search_vector(std::span<const float> vector,
                                                   const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  NESTOR_RETURN_IF_ERROR(check_vector_mode(options));
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
  if (!collection.has_value() || collection->width == 0) return SearchResult{};
  NESTOR_RETURN_IF_ERROR(query::check_vector(vector, collection->width, "the query"));
  return search_with(vector, options, QueryWords{}, SearchResult{});
}

}  // namespace nestor
