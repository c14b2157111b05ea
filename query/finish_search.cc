#include "query/finish_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "query/selection.h"
#include "query/snippet.h"
#include "query/stopwatch.h"

namespace nestor::query {
namespace {

double cosine(std::span<const float> a, std::span<const float> b) {
  if (a.empty()) return 0;
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? std::clamp(dot(a, b) / lengths, -1.0, 1.0) : 0.0;
}

Result<Hit> make_hit(const storage::Row& row, const storage::StoredDocument& stored,
                     std::span<const float> query) {
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
             .score = cosine(query, row.vector),
             .title = document.title,
             .text = document.text.substr(static_cast<std::size_t>(bytes.begin),
                                          static_cast<std::size_t>(bytes.end - bytes.begin)),
             .heading_path = row.passage.heading_path,
             .metadata = document.metadata,
             .bytes = bytes,
             .lines = row.passage.lines};
}

Status fetch_hits(const SearchPlace& place, std::span<const float> query,
                  std::span<const FusionCandidate> chosen, std::vector<Hit>& hits) {
  NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows,
                          place.store.rows(place.view, place.collection, row_ids(chosen)));
  std::map<std::string, storage::StoredDocument> documents;  // several hits may share one
  for (std::size_t i = 0; i < rows.size(); ++i) {
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
    NESTOR_ASSIGN_OR_RETURN(Hit hit, make_hit(row, known->second, query));
    hit.keyword_score = chosen[i].keyword;
    hit.fused_score = chosen[i].fused;
    hits.push_back(std::move(hit));
  }
  return {};
}

Status add_snippets(const Words& words, std::int64_t bytes, TextAnalyzer& analyzer,
                    std::vector<Hit>& hits) {
  SnippetMaker maker(analyzer);
  for (Hit& hit : hits) {
    NESTOR_ASSIGN_OR_RETURN(Snippet snippet, maker.make(hit.text, words.query, bytes));
    hit.snippet = snippet.bytes;
    hit.matches = std::move(snippet.matches);
  }
  return {};
}

}  // namespace

Status finish_search(const SearchPlace& place, std::span<const float> query,
                     const SearchOptions& options, const CoarseResult& coarse, Words& words,
                     TextAnalyzer* analyzer, SearchResult& result) {
  const Plan& plan = coarse.plan;
  Explanation& explain = result.explain;
  explain.mode = options.mode;
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
  if (options.stop.stop_requested()) return {StatusCode::kCancelled, "the search was stopped"};
  NESTOR_ASSIGN_OR_RETURN(auto ranked,
                          rank_passages(place, query, options, coarse, words, explain));
  const Stopwatch fetch_time;
  NESTOR_ASSIGN_OR_RETURN(const auto chosen, select_hits(place, options, std::move(ranked)));
  NESTOR_RETURN_IF_ERROR(fetch_hits(place, query, chosen, result.hits));
  if (analyzer != nullptr) {
    NESTOR_RETURN_IF_ERROR(add_snippets(words, options.snippet_bytes, *analyzer, result.hits));
  }
  explain.fetch_seconds = fetch_time.seconds();
  return {};
}

}  // namespace nestor::query
