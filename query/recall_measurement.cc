#include "query/recall_measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "core/macros.h"
#include "core/option_range.h"
#include "index/calibration.h"
#include "index/exact_search.h"
#include "query/stopwatch.h"
#include "query/store_source.h"
#include "query/text_breaks.h"

namespace nestor::query {
namespace {

using storage::Collection;
using storage::DocumentStore;

constexpr std::size_t kMostQuestionBytes = 300;

Result<std::vector<std::uint64_t>> spread_rows(const StoreSource& source,
                                               const Collection& collection, std::int64_t count) {
  const std::int64_t step = std::max<std::int64_t>(collection.passages / count, 1);
  std::vector<std::uint64_t> ids;
  std::int64_t position = 0;
  NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t id, std::span<const float>) {
    if (position++ % step == step / 2) ids.push_back(id);
    return std::ssize(ids) < count;
  }));
  return ids;
}

Result<std::string> first_sentence(std::string_view passage, TextBreaks& breaks) {
  NESTOR_ASSIGN_OR_RETURN(const auto ends, breaks.sentence_ends(passage));
  std::string_view sentence =
      ends.empty() ? passage : passage.substr(0, static_cast<std::size_t>(ends.front()));
  if (sentence.size() > kMostQuestionBytes) {
    NESTOR_ASSIGN_OR_RETURN(const auto words, breaks.line_break_ends(sentence));
    std::size_t end = 0;
    for (const std::int32_t word : words) {
      if (static_cast<std::size_t>(word) <= kMostQuestionBytes)
        end = static_cast<std::size_t>(word);
    }
    if (end > 0) sentence = sentence.substr(0, end);
  }
  const Trimmed trimmed = trim(sentence);
  return std::string(sentence.substr(trimmed.begin, trimmed.end - trimmed.begin));
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace

Status check_recall(const RecallOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_number("k", options.k, ranges::kRecallNeighbours));
  NESTOR_RETURN_IF_ERROR(check_number("sample", options.sample, ranges::kRecallQueries));
  if (!options.questions.empty()) {
    NESTOR_RETURN_IF_ERROR(
        check_number("the number of questions", options.questions.size(), ranges::kRecallQueries));
  }
  return check_number("recall_target", options.recall_target, ranges::kRecallTarget);
}

Result<std::vector<std::string>> sample_sentences(const DocumentStore& store,
                                                  const DocumentStore::View& view,
                                                  const Collection& collection,
                                                  std::int64_t count) {
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(const auto ids, spread_rows(source, collection, count));
  NESTOR_ASSIGN_OR_RETURN(const auto rows, store.rows(view, collection, ids));
  TextBreaks breaks;
  std::vector<std::string> sentences;
  for (const storage::Row& row : rows) {
    NESTOR_ASSIGN_OR_RETURN(const auto document,
                            store.find_document(view, collection.id, row.document_key));
    if (!document.has_value()) continue;
    const auto begin = static_cast<std::size_t>(row.passage.bytes.begin);
    const auto end = static_cast<std::size_t>(row.passage.bytes.end);
    const std::string_view text = document->document.text;
    if (begin > end || end > text.size()) continue;
    NESTOR_ASSIGN_OR_RETURN(std::string sentence,
                            first_sentence(text.substr(begin, end - begin), breaks));
    if (!sentence.empty()) sentences.push_back(std::move(sentence));
  }
  return sentences;
}

Result<std::vector<float>> sample_vectors(const DocumentStore& store,
                                          const DocumentStore::View& view,
                                          const Collection& collection, std::int64_t count) {
  return index::make_questions(StoreSource(store, view, collection), collection.width,
                               collection.passages, count);
}

Result<std::vector<std::set<PassageName>>> exact_passages(const DocumentStore& store,
                                                          const DocumentStore::View& view,
                                                          const Collection& collection,
                                                          std::span<const float> questions,
                                                          std::int64_t k) {
  NESTOR_ASSIGN_OR_RETURN(
      const auto found,
      index::search_exactly(StoreSource(store, view, collection), questions, collection.width, k));
  std::vector<std::set<PassageName>> names;
  for (const auto& candidates : found) {
    std::vector<std::uint64_t> ids;
    for (const index::Candidate& candidate : candidates) ids.push_back(candidate.id);
    NESTOR_ASSIGN_OR_RETURN(const auto rows, store.rows(view, collection, ids));
    names.emplace_back();
    for (const storage::Row& row : rows) {
      names.back().emplace(row.document_key, row.passage.index);
    }
  }
  return names;
}

Result<std::vector<std::set<PassageName>>> searched_passages(std::size_t questions,
                                                             const RecallOptions& options,
                                                             const AskFunction& ask) {
  std::vector<std::set<PassageName>> names;
  SearchOptions search{.k = options.k,
                       .collection = options.collection,
                       .filter = options.filter,
                       .exact = true,
                       .stop = options.stop};
  for (std::size_t i = 0; i < questions; ++i) {
    NESTOR_ASSIGN_OR_RETURN(const SearchResult found, ask(i, search));
    names.emplace_back();
    for (const Hit& hit : found.hits) names.back().emplace(hit.key, hit.passage);
  }
  return names;
}

Status measure_plans(const std::vector<std::set<PassageName>>& truth, const RecallOptions& options,
                     const AskFunction& ask, RecallReport& report) {
  std::vector<std::vector<double>> recalls(report.plans.size());
  std::vector<std::vector<double>> seconds(report.plans.size());
  // The first round warms what a plan needs, and is not counted.
  const std::size_t warming = std::min<std::size_t>(truth.size(), 3);
  for (std::size_t turn = 0; turn < warming + truth.size(); ++turn) {
    const std::size_t i = turn < warming ? turn : turn - warming;
    for (std::size_t next = 0; next < report.plans.size(); ++next) {
      // Each plan comes after each other one: none always meets the cache that a wide one left.
      const std::size_t p = turn % 2 == 0 ? next : report.plans.size() - 1 - next;
      MeasuredPlan& plan = report.plans[p];
      SearchOptions search{
          .k = options.k, .collection = options.collection, .filter = options.filter};
      if (plan.recall_target > 0) search.recall_target = plan.recall_target;
      search.coarse_width = plan.coarse_width;
      search.stop = options.stop;
      const Stopwatch time;
      NESTOR_ASSIGN_OR_RETURN(const SearchResult found, ask(i, search));
      if (turn < warming) continue;
      seconds[p].push_back(time.seconds());
      plan.scan_count = found.explain.scan_count;
      plan.candidate_count = found.explain.candidate_count;
      report.calibrated_on = std::max(report.calibrated_on, found.explain.calibrated_on);
      const auto hits = std::count_if(found.hits.begin(), found.hits.end(), [&](const Hit& hit) {
        return truth[i].contains({hit.key, hit.passage});
      });
      recalls[p].push_back(
          truth[i].empty() ? 1 : static_cast<double>(hits) / static_cast<double>(truth[i].size()));
    }
  }
  for (std::size_t p = 0; p < report.plans.size(); ++p) {
    MeasuredPlan& plan = report.plans[p];
    plan.recall = std::accumulate(recalls[p].begin(), recalls[p].end(), 0.0) /
                  static_cast<double>(recalls[p].size());
    plan.least_recall = *std::min_element(recalls[p].begin(), recalls[p].end());
    plan.p50_seconds = quantile(seconds[p], .5);
    plan.p95_seconds = quantile(seconds[p], .95);
    const bool enough = plan.recall >= options.recall_target;
    if (enough &&
        (report.suggested < 0 ||
         plan.p50_seconds < report.plans[static_cast<std::size_t>(report.suggested)].p50_seconds)) {
      report.suggested = static_cast<std::int64_t>(p);
    }
  }
  return {};
}

}  // namespace nestor::query
