#include "query/finish_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/macros.h"
#include "core/stop_check.h"
#include "core/text.h"
#include "query/query_vectors.h"
#include "query/rerank_hits.h"
#include "query/selection.h"
#include "query/snippet.h"
#include "query/stopwatch.h"

namespace nestor::query {
namespace {

Result<Hit> make_hit(const storage::Row& row, const storage::StoredDocument& stored,
                     std::span<const float> query, Metric metric) {
  const Document& document = stored.document;
  const ByteRange bytes = row.passage.bytes;
  if (bytes.begin < 0 || bytes.end < bytes.begin ||
      bytes.end > static_cast<std::int64_t>(document.text.size())) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("passage {} of document {} names bytes {} to {} of a text of {}",
                              row.passage.index, quote_for_message(document.key), bytes.begin,
                              bytes.end, document.text.size()));
  }
  return Hit{.key = document.key,
             .passage = row.passage.index,
             .score = exact_score(metric, query, row.vector),
             .title = document.title,
             .text = document.text.substr(static_cast<std::size_t>(bytes.begin),
                                          static_cast<std::size_t>(bytes.end - bytes.begin)),
             .heading_path = row.passage.heading_path,
             .metadata = document.metadata,
             .bytes = bytes,
             .source_bytes = document.source.in_source(document.text, bytes),
             .lines = row.passage.lines};
}

Status fetch_hits(const SearchPlace& place, std::span<const float> query,
                  std::span<const FusionCandidate> chosen, const StopCheck& stop,
                  std::vector<Hit>& hits) {
  NESTOR_RETURN_IF_ERROR(stop.check());
  NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows,
                          place.store.rows(place.view, place.collection, row_ids(chosen)));
  std::map<std::string, storage::StoredDocument> documents;  // several hits may share one
  for (std::size_t i = 0; i < rows.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    const storage::Row& row = rows[i];
    auto known = documents.find(row.document_key);
    if (known == documents.end()) {
      NESTOR_ASSIGN_OR_RETURN(
          auto found, place.store.find_document(place.view, place.collection.id, row.document_key));
      if (!found.has_value()) {
        return {
            StatusCode::kDataLoss,
            fmt::format(
                "row {} of collection '{}' belongs to document {}, which is not there; run `nestor "
                "verify {}`",
                row.id, place.collection.name, quote_for_message(row.document_key),
                place.store.path())};
      }
      known = documents.emplace(row.document_key, std::move(*found)).first;
    }
    NESTOR_ASSIGN_OR_RETURN(Hit hit, make_hit(row, known->second, query, place.collection.metric));
    hit.keyword_score = chosen[i].keyword;
    hit.fused_score = chosen[i].fused;
    hits.push_back(std::move(hit));
  }
  return {};
}

Status add_snippets(const Words& words, std::int64_t bytes, TextAnalyzer& analyzer,
                    const StopCheck& stop, std::vector<Hit>& hits) {
  SnippetMaker maker(analyzer);
  for (Hit& hit : hits) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    NESTOR_ASSIGN_OR_RETURN(Snippet snippet, maker.make(hit.text, words.query, bytes));
    hit.snippet = snippet.bytes;
    hit.matches = std::move(snippet.matches);
  }
  return {};
}

// From the offset on, k of them.
void cut_hits(const SearchOptions& options, std::vector<Hit>& hits) {
  const auto last = static_cast<std::size_t>(options.offset + options.k);
  if (hits.size() > last) hits.erase(hits.begin() + static_cast<std::ptrdiff_t>(last), hits.end());
  hits.erase(hits.begin(),
             hits.begin() + std::min<std::ptrdiff_t>(options.offset, std::ssize(hits)));
}

}  // namespace

Result<SelectedHits> rank_and_select(const SearchPlace& place, std::span<const float> query,
                                     const SearchOptions& options, const CoarseResult& coarse,
                                     std::int64_t wanted, Words& words, Explanation& explain) {
  const Plan& plan = coarse.plan;
  explain.mode = options.mode;
  explain.metric = place.collection.metric;
  explain.query_vectors = static_cast<int>(query_parts(query, place.collection.width).size());
  explain.coarse_width = plan.coarse_width;
  explain.rerank_width = plan.rerank_width;
  explain.candidate_count =
      std::max(plan.candidate_count, static_cast<std::int64_t>(coarse.candidates.size()));
  explain.exact_count = static_cast<std::int64_t>(coarse.candidates.size());
  explain.recall_target = plan.recall_target;
  explain.calibrated_on = plan.calibrated_on;
  explain.coarse_bits = coarse.bits;
  explain.scan_count = plan.scan_count;
  explain.passages = place.collection.passages;
  explain.matching = coarse.matching;
  explain.filter_seconds = coarse.filter_seconds;
  explain.exact = plan.exact;
  explain.coarse_seconds = coarse.seconds;
  if (options.mode != SearchMode::kVector) {
    for (const Phrase& phrase : words.query.required) explain.required.push_back(phrase.text);
    for (const Phrase& phrase : words.query.forbidden) explain.excluded.push_back(phrase.text);
  }
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  NESTOR_ASSIGN_OR_RETURN(RankedPassages ranked,
                          rank_passages(place, query, options, coarse, wanted, words, explain));
  // Ranked by cosine, what follows the last one is no nearer.
  const bool below = options.mode == SearchMode::kVector && options.min_score.has_value() &&
                     !ranked.passages.empty() && ranked.passages.back().cosine < *options.min_score;
  const Stopwatch time;
  SelectedHits selected{.hits = {}, .complete = ranked.complete || below};
  NESTOR_ASSIGN_OR_RETURN(selected.hits,
                          select_hits(place, options, wanted, std::move(ranked.passages)));
  explain.fetch_seconds += time.seconds();
  return selected;
}

Status finish_search(const SearchPlace& place, std::span<const float> query,
                     const SearchOptions& options, std::span<const FusionCandidate> selected,
                     Words& words, TextAnalyzer* analyzer, SearchResult& result) {
  Explanation& explain = result.explain;
  const StopCheck stop(options.stop, options.deadline);
  const Stopwatch fetch_time;
  NESTOR_RETURN_IF_ERROR(fetch_hits(place, query, selected, stop, result.hits));
  explain.fetch_seconds += fetch_time.seconds();
  if (options.rerank) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    const Stopwatch callback_time;
    NESTOR_RETURN_IF_ERROR(rerank_hits(words.text, options, result.hits));
    explain.callback_seconds = callback_time.seconds();
    NESTOR_RETURN_IF_ERROR(stop.check());
    cut_hits(options, result.hits);
  }
  const Stopwatch snippet_time;
  if (analyzer != nullptr) {
    NESTOR_RETURN_IF_ERROR(
        add_snippets(words, options.snippet_bytes, *analyzer, stop, result.hits));
  }
  explain.fetch_seconds += snippet_time.seconds();
  return {};
}

}  // namespace nestor::query
