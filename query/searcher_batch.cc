// Searcher's searches of many queries at once: one batch for the encoder, one scan of the codes for
// some dozens of them, then one query per thread, all in one state of the database.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/input_check.h"
#include "query/searcher.h"

namespace nestor::query {

using storage::Collection;

Status Searcher::scan_group(std::span<const PreparedQuery> queries, const SearchOptions& options,
                            const SearchSnapshot& snapshot, std::span<FirstRound> rounds) {
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  const CollectionIndex& index = snapshot.index->index;
  NESTOR_ASSIGN_OR_RETURN(Plan plan, plan_for(options, snapshot, first_depth(snapshot, options)));
  // IVF lists differ from query to query; each looks through its own.
  if (!plan.codes || takes_all(index, plan, snapshot) || index.codes().has_lists()) return {};
  std::vector<float> block;
  for (const PreparedQuery& query : queries) {
    block.insert(block.end(), query.vectors.begin(), query.vectors.end());
  }
  NESTOR_ASSIGN_OR_RETURN(const auto mask, mask_for(snapshot, plan));
  index::LadderTrace trace;
  NESTOR_ASSIGN_OR_RETURN(
      auto candidates,
      index.codes().search_many(block,
                                {.scan_count = plan.scan_count, .rank_count = plan.candidate_count},
                                mask.get(), &trace));
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    rounds[i] = {.scan_count = plan.scan_count,
                 .candidate_count = plan.candidate_count,
                 .exact = trace.exact,
                 .seconds = trace.scan_seconds + trace.rank_seconds,
                 .candidates = std::move(candidates[i])};
  }
  return {};
}

Result<Searcher::SharedScan> Searcher::scan_together(const StatePointer& state,
                                                     std::span<const PreparedQuery> queries,
                                                     const SearchOptions& options) {
  SharedScan shared;
  NESTOR_ASSIGN_OR_RETURN(shared.snapshot, snapshot(state, queries.front(), options));
  if (!shared.snapshot.has_value()) return shared;
  shared.snapshot->filter_seconds /= static_cast<double>(queries.size());
  if (options.mode == SearchMode::kKeyword || queries.size() == 1) return shared;
  const auto width = static_cast<std::size_t>(shared.snapshot->collection().width);
  for (const PreparedQuery& query : queries) {
    if (query.vectors.size() != width) return shared;
  }
  shared.rounds.resize(queries.size());
  const std::size_t each =
      index::LadderIndex::queries_a_group(queries.size(), context_.pool.thread_count());
  NESTOR_RETURN_IF_ERROR(context_.pool.try_for_each(
      static_cast<std::int64_t>((queries.size() + each - 1) / each),
      [&](std::int64_t group, int) -> Status {
        const std::size_t first = static_cast<std::size_t>(group) * each;
        const std::size_t count = std::min(each, queries.size() - first);
        return scan_group(queries.subspan(first, count), options, *shared.snapshot,
                          std::span(shared.rounds).subspan(first, count));
      }));
  return shared;
}

Status Searcher::search_together(const StatePointer& state, std::span<PreparedQuery> queries,
                                 const SearchOptions& options, const Collection& collection,
                                 std::span<SearchResult> results) {
  // What is held for queries on their way is bounded.
  constexpr std::size_t kMostTogether = 256;
  for (std::size_t first = 0; first < queries.size(); first += kMostTogether) {
    const std::size_t count = std::min(kMostTogether, queries.size() - first);
    const auto asked = queries.subspan(first, count);
    NESTOR_ASSIGN_OR_RETURN(const SharedScan shared, scan_together(state, asked, options));
    if (!shared.snapshot.has_value()) continue;
    const Status searched = context_.pool.try_for_each(
        static_cast<std::int64_t>(count), [&](std::int64_t i, int) -> Status {
          const auto at = static_cast<std::size_t>(i);
          NESTOR_RETURN_IF_ERROR(take_words(collection, options, asked[at]));
          SearchResult& result = results[first + at];
          NESTOR_ASSIGN_OR_RETURN(result,
                                  run(*shared.snapshot, asked[at], options, std::move(result),
                                      shared.rounds.empty() ? nullptr : &shared.rounds[at]));
          return {};
        });
    NESTOR_RETURN_IF_ERROR(searched);
  }
  return {};
}

Result<std::vector<SearchResult>> Searcher::search_batch(const std::vector<std::string>& queries,
                                                         const SearchOptions& options) {
  std::vector<SearchResult> results(queries.size());
  std::vector<std::vector<float>> vectors(queries.size());
  if (queries.empty()) return results;
  NESTOR_RETURN_IF_ERROR(check_search(options));
  for (std::size_t i = 0; i < queries.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_question(queries[i], i));
  }
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, context_.find(*state, options.collection));
  if (!collection.has_value()) return results;
  NESTOR_RETURN_IF_ERROR(check_query_fits(*collection, options));
  if (!collection->external) {
    const Status embedded = embed_queries(queries, *collection, options, vectors, results);
    if (!embedded.ok() && !words_are_enough(embedded, options)) return embedded;
  }
  std::vector<PreparedQuery> asked(queries.size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    asked[i].vectors = std::move(vectors[i]);
    asked[i].collection_id = collection->id;
    asked[i].text = queries[i];
  }
  NESTOR_RETURN_IF_ERROR(search_together(state, asked, options, *collection, results));
  return results;
}

Result<std::vector<SearchResult>> Searcher::search_vectors(std::span<const float> vectors,
                                                           const SearchOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_search(options));
  if (options.mode != SearchMode::kVector) return vector_has_no_words(options.mode);
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, context_.find(*state, options.collection));
  if (!collection.has_value() || collection->width == 0) {
    return Status(StatusCode::kFailedPrecondition,
                  fmt::format("collection '{}' is empty; it has no width yet to cut {} values by",
                              options.collection, vectors.size()));
  }
  const auto width = static_cast<std::size_t>(collection->width);
  if (vectors.size() % width != 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} values are no vectors of width {}", vectors.size(), width));
  }
  NESTOR_RETURN_IF_ERROR(check_search_in(options, collection->metric));
  std::vector<SearchResult> results(vectors.size() / width);
  for (std::size_t i = 0; i < results.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_vector(vectors.subspan(i * width, width), collection->width,
                                        fmt::format("query {}", i), collection->metric));
  }
  std::vector<PreparedQuery> asked(results.size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto vector = vectors.subspan(i * width, width);
    asked[i].vectors.assign(vector.begin(), vector.end());
    asked[i].collection_id = collection->id;
  }
  NESTOR_RETURN_IF_ERROR(search_together(state, asked, options, *collection, results));
  return results;
}

}  // namespace nestor::query
