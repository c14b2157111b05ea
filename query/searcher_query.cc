// Searcher's way from a query of several parts to the vectors and words searched for.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/macros.h"
#include "core/stop_check.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "query/expiry.h"
#include "query/ingest.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "query/query_vectors.h"
#include "query/searcher.h"
#include "query/stopwatch.h"

namespace nestor::query {

using storage::Collection;

namespace {

using WeightedVectors = std::vector<Weighted<std::vector<float>>>;

Status check_kind(const Query& query, const SearchOptions& options, const Collection& collection) {
  const bool has_texts = !query.like.texts.empty() || !query.unlike.texts.empty();
  if (options.mode != SearchMode::kVector && query.like.texts.empty()) {
    return vector_has_no_words(options.mode);
  }
  const bool embeds = options.mode == SearchMode::kVector ? has_texts : !query.unlike.texts.empty();
  if (collection.external && embeds) {
    return {StatusCode::kInvalidArgument,
            fmt::format("collection '{}' keeps vectors that its callers bring; search it with a "
                        "vector of width {}, or in keyword mode",
                        collection.name, collection.width)};
  }
  if (collection.external && options.mode == SearchMode::kHybrid && query.like.vectors.empty() &&
      query.like.keys.empty()) {
    return {StatusCode::kInvalidArgument,
            fmt::format("collection '{}' keeps vectors that its callers bring; beside the words, "
                        "give a vector of width {} or a document's key, or search in keyword mode",
                        collection.name, collection.width)};
  }
  return {};
}

std::string words_of(const Query& query) {
  std::string words;
  for (const auto& text : query.like.texts) words += (words.empty() ? "" : "\n") + text.value;
  return words;
}

Status take_vectors(const QueryParts& from, const Collection& collection, WeightedVectors& to) {
  for (std::size_t i = 0; i < from.vectors.size(); ++i) {
    const std::string whose =
        from.vectors.size() == 1 ? "the query" : fmt::format("vector {} of the query", i + 1);
    NESTOR_RETURN_IF_ERROR(
        check_vector(from.vectors[i].value, collection.width, whose, collection.metric));
    to.push_back(from.vectors[i]);
  }
  return {};
}

}  // namespace

Status vector_has_no_words(SearchMode mode) {
  return {StatusCode::kInvalidArgument,
          fmt::format("a vector has no words to search by in {} mode; ask in text, or in vector "
                      "mode",
                      search_mode_name(mode))};
}

// The mean of a document's passages, for cosines of their directions.
Result<std::vector<float>> Searcher::document_vector(const std::string& key,
                                                     const DatabaseState& state,
                                                     const Collection& collection,
                                                     const StopCheck& stop) const {
  NESTOR_ASSIGN_OR_RETURN(const auto document,
                          store_.find_document(*state.view, collection.id, key));
  if (!document.has_value() || is_expired(document->document.metadata, seconds_since_1970())) {
    return Status(StatusCode::kNotFound,
                  fmt::format("no document {} in collection '{}' to compare with",
                              quote_for_message(key), collection.name));
  }
  constexpr std::int64_t kBlock = 256;
  const auto width = static_cast<std::size_t>(collection.width);
  std::vector<double> sum(width, 0.0);
  std::vector<float> rows;
  for (std::int64_t first = 0; first < document->passage_count; first += kBlock) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    std::vector<std::uint64_t> ids;
    for (std::int64_t i = first; i < std::min(first + kBlock, document->passage_count); ++i)
      ids.push_back(document->first_row_id + static_cast<std::uint64_t>(i));
    rows.resize(ids.size() * width);
    NESTOR_RETURN_IF_ERROR(
        store_.read_vectors(*state.view, collection, ids, collection.width, rows.data()));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::span<float> row(rows.data() + i * width, width);
      if (collection.metric == Metric::kCosine) normalize(row);
      for (std::size_t d = 0; d < width; ++d) sum[d] += row[d];
    }
  }
  std::vector<float> mean(width);
  for (std::size_t d = 0; d < width; ++d)
    mean[d] = static_cast<float>(sum[d] / static_cast<double>(document->passage_count));
  return mean;
}

Status Searcher::embed_queries(std::span<const std::string> questions, const Collection& collection,
                               const SearchOptions& options,
                               std::vector<std::vector<float>>& vectors,
                               std::vector<SearchResult>& results) {
  NESTOR_ASSIGN_OR_RETURN(const EncoderPointer encoder_in_use, context_.encoder.get());
  const ModelInfo& model = encoder_in_use->info();
  NESTOR_RETURN_IF_ERROR(check_space(collection, model));
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  const Stopwatch time;
  std::vector<std::optional<Embedding>> embedded(questions.size());
  std::vector<EmbedInput> missing;
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    embedded[i] = context_.query_cache.find(model, options.role, questions[i]);
    results[i].explain.query_cache_hits = embedded[i].has_value() ? 1 : 0;
    if (!embedded[i].has_value()) missing.push_back({.text = questions[i]});
  }
  if (!missing.empty()) {
    NESTOR_ASSIGN_OR_RETURN(std::vector<Embedding> fresh,
                            encoder_in_use->encode(missing, options.role, {.stop = options.stop}));
    std::size_t next = 0;
    for (std::size_t i = 0; i < embedded.size(); ++i) {
      if (embedded[i].has_value()) continue;
      context_.query_cache.put(model, options.role, questions[i], fresh[next]);
      embedded[i] = std::move(fresh[next++]);
    }
  }
  const double seconds = time.seconds();
  for (std::size_t i = 0; i < embedded.size(); ++i) {
    SearchResult& result = results[i];
    result.explain.backend = model.backend;
    result.explain.precision = model.precision;
    result.explain.embed_seconds = seconds;
    result.query_token_count = embedded[i]->token_count;
    result.query_truncated = embedded[i]->truncated;
    vectors[i] = std::move(embedded[i]->vector);
  }
  return {};
}

Status Searcher::take_texts(const Query& asked, const Collection& collection,
                            const SearchOptions& options, WeightedVectors& like,
                            WeightedVectors& unlike, SearchResult& result) {
  std::vector<std::string> texts;
  for (const auto& text : asked.like.texts) texts.push_back(text.value);
  for (const auto& text : asked.unlike.texts) texts.push_back(text.value);
  if (texts.empty() || collection.external) return {};
  std::vector<std::vector<float>> vectors(texts.size());
  std::vector<SearchResult> each(texts.size());
  NESTOR_RETURN_IF_ERROR(embed_queries(texts, collection, options, vectors, each));
  result = each[0];
  for (std::size_t i = 1; i < each.size(); ++i) {
    result.query_token_count += each[i].query_token_count;
    result.query_truncated |= each[i].query_truncated;
    result.explain.query_cache_hits += each[i].explain.query_cache_hits;
  }
  std::size_t next = 0;
  for (const auto& text : asked.like.texts)
    like.push_back({std::move(vectors[next++]), text.weight});
  for (const auto& text : asked.unlike.texts)
    unlike.push_back({std::move(vectors[next++]), text.weight});
  return {};
}

Status Searcher::take_documents(const QueryParts& parts, const DatabaseState& state,
                                const Collection& collection, const StopCheck& stop,
                                WeightedVectors& to) const {
  for (const auto& key : parts.keys) {
    NESTOR_ASSIGN_OR_RETURN(std::vector<float> vector,
                            document_vector(key.value, state, collection, stop));
    to.push_back({std::move(vector), key.weight});
  }
  return {};
}

Result<std::vector<float>> Searcher::vectors_of(const Query& asked, const DatabaseState& state,
                                                const Collection& collection,
                                                const SearchOptions& options,
                                                SearchResult& result) {
  const StopCheck stop(options.stop, options.deadline);
  WeightedVectors like;
  WeightedVectors unlike;
  NESTOR_RETURN_IF_ERROR(take_documents(asked.like, state, collection, stop, like));
  NESTOR_RETURN_IF_ERROR(take_documents(asked.unlike, state, collection, stop, unlike));
  if (collection.width > 0) {
    NESTOR_RETURN_IF_ERROR(take_vectors(asked.like, collection, like));
    NESTOR_RETURN_IF_ERROR(take_vectors(asked.unlike, collection, unlike));
  }
  if (const Status taken = take_texts(asked, collection, options, like, unlike, result);
      !taken.ok()) {
    if (!words_are_enough(taken, options)) return taken;
    return std::vector<float>();
  }
  if (like.empty()) return std::vector<float>();
  return combine_parts(like, unlike, asked.unlike_weight, asked.combination, collection.metric);
}

Status Searcher::check_plan(const SearchOptions& options, const Collection& collection) {
  if (collection.width == 0) return {};
  return make_plan(options, collection.width, !collection.external, collection.passages).status();
}

Status Searcher::check_query_fits(const Collection& collection, const SearchOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_kind({.like = {.texts = {{}}}}, options, collection));
  NESTOR_RETURN_IF_ERROR(check_search_in(options, collection.metric));
  return check_plan(options, collection);
}

Status Searcher::take_words(const Collection& collection, const SearchOptions& options,
                            PreparedQuery& query) {
  if (options.mode == SearchMode::kVector && options.snippet_bytes == 0) return {};
  NESTOR_ASSIGN_OR_RETURN(query.analyzer, TextAnalyzer::make(language_of(collection)));
  NESTOR_ASSIGN_OR_RETURN(query.words, parse_keyword_query(query.text, *query.analyzer));
  return {};
}

// Words need no model; only the scores beside them do.
bool Searcher::words_are_enough(const Status& embedded, const SearchOptions& options) const {
  const bool no_model_for_it =
      embedded.code() == StatusCode::kModelMissing || embedded.code() == StatusCode::kModelMismatch;
  if (options.mode != SearchMode::kKeyword || !no_model_for_it) return false;
  context_.log(LogLevel::kInfo, "no cosines beside the words: " + embedded.message());
  return true;
}

Result<SearchResult> Searcher::search(const Query& asked, const SearchOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_search(options));
  NESTOR_RETURN_IF_ERROR(check_query(asked));
  const StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, context_.find(*state, options.collection));
  if (!collection.has_value()) return SearchResult{};
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  NESTOR_RETURN_IF_ERROR(check_kind(asked, options, *collection));
  NESTOR_RETURN_IF_ERROR(check_search_in(options, collection->metric));
  // A width the collection lacks is refused before the model is loaded for it.
  NESTOR_RETURN_IF_ERROR(check_plan(options, *collection));
  PreparedQuery query;
  query.text = words_of(asked);
  query.collection_id = collection->id;
  for (const QueryParts* parts : {&asked.like, &asked.unlike}) {
    for (const auto& key : parts->keys) query.excluded.push_back(key.value);
  }
  if (!asked.like.texts.empty()) {
    NESTOR_RETURN_IF_ERROR(take_words(*collection, options, query));
  }
  SearchResult result;
  NESTOR_ASSIGN_OR_RETURN(query.vectors, vectors_of(asked, *state, *collection, options, result));
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  if (query.vectors.empty() && options.mode != SearchMode::kKeyword) return result;
  NESTOR_ASSIGN_OR_RETURN(const auto seen, snapshot(state, query, options));
  if (!seen.has_value()) return result;
  return run(*seen, query, options, std::move(result));
}

Result<SearchResult> Searcher::search_vector(std::span<const float> vector,
                                             const SearchOptions& options) {
  return search({.like = {.vectors = {{{vector.begin(), vector.end()}}}}}, options);
}

}  // namespace nestor::query
