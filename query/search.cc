#include "query/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "index/reranker.h"
#include "query/stopwatch.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

double cosine(std::span<const float> a, std::span<const float> b) {
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

Status fetch_hits(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                  const storage::Collection& collection, std::span<const float> query,
                  std::span<const std::uint64_t> ids, std::vector<Hit>& hits) {
  NESTOR_ASSIGN_OR_RETURN(const std::vector<storage::Row> rows, store.rows(view, collection, ids));
  std::map<std::string, storage::StoredDocument> documents;  // several hits may share one
  for (const storage::Row& row : rows) {
    auto known = documents.find(row.document_key);
    if (known == documents.end()) {
      NESTOR_ASSIGN_OR_RETURN(auto found,
                              store.find_document(view, collection.id, row.document_key));
      if (!found.has_value()) {
        return {
            StatusCode::kDataLoss,
            fmt::format(
                "row {} of collection '{}' belongs to document {}, which is not there; run `nestor "
                "verify {}`",
                row.id, collection.name, quote_for_message(row.document_key), store.path())};
      }
      known = documents.emplace(row.document_key, std::move(*found)).first;
    }
    NESTOR_ASSIGN_OR_RETURN(Hit hit, make_hit(row, known->second, query));
    hits.push_back(std::move(hit));
  }
  return {};
}

}  // namespace

Status finish_search(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                     const storage::Collection& collection, std::span<const float> query,
                     const SearchOptions& options, const CoarseResult& coarse,
                     SearchResult& result) {
  const Plan& plan = coarse.plan;
  result.explain.coarse_width = plan.coarse_width;
  result.explain.rerank_width = plan.rerank_width;
  result.explain.candidate_count = static_cast<std::int64_t>(coarse.candidates.size());
  result.explain.passages = collection.passages;
  result.explain.exact = plan.exact;
  result.explain.coarse_seconds = coarse.seconds;
  if (options.stop.stop_requested()) return {StatusCode::kCancelled, "the search was stopped"};

  std::vector<std::uint64_t> ids;
  ids.reserve(coarse.candidates.size());
  for (const index::Candidate& candidate : coarse.candidates) ids.push_back(candidate.id);
  if (plan.coarse_width != plan.rerank_width) {
    const Stopwatch rerank_time;
    const StoreSource source(store, view, collection);
    NESTOR_ASSIGN_OR_RETURN(const auto ranked,
                            index::rerank(source, query, plan.rerank_width, ids, options.k));
    ids.clear();
    for (const index::Candidate& candidate : ranked) ids.push_back(candidate.id);
    result.explain.rerank_seconds = rerank_time.seconds();
  }
  if (static_cast<std::int64_t>(ids.size()) > options.k)
    ids.resize(static_cast<std::size_t>(options.k));

  const Stopwatch fetch_time;
  NESTOR_RETURN_IF_ERROR(fetch_hits(store, view, collection, query, ids, result.hits));
  result.explain.fetch_seconds = fetch_time.seconds();
  return {};
}

}  // namespace nestor::query
