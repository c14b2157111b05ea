// Searcher's measurement of its own recall.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/macros.h"
#include "query/input_check.h"
#include "query/recall_measurement.h"
#include "query/searcher.h"

namespace nestor::query {

namespace {

constexpr int kPrefixWidth = 128;

}  // namespace

Result<std::vector<float>> Searcher::recall_queries(const DatabaseState& state,
                                                    const storage::Collection& collection,
                                                    const RecallOptions& options,
                                                    RecallReport& report) {
  std::vector<std::string> questions = options.questions;
  report.asked = "your own questions";
  if (questions.empty() && !collection.external) {
    NESTOR_ASSIGN_OR_RETURN(questions,
                            sample_sentences(store_, *state.view, collection, options.sample));
    report.asked = "first sentences of passages";
  }
  if (!collection.external && !questions.empty()) {
    std::vector<std::vector<float>> vectors(questions.size());
    std::vector<SearchResult> results(questions.size());
    const SearchOptions as_asked{.collection = options.collection, .stop = options.stop};
    const Status embedded = embed_queries(questions, collection, as_asked, vectors, results);
    if (embedded.ok()) {
      std::vector<float> all;
      for (const auto& vector : vectors) all.insert(all.end(), vector.begin(), vector.end());
      return all;
    }
    const bool no_model = embedded.code() == StatusCode::kModelMissing ||
                          embedded.code() == StatusCode::kModelMismatch;
    if (!options.questions.empty() || !no_model) return embedded;
  }
  report.asked = "vectors of passages with noise";
  return sample_vectors(store_, *state.view, collection, options.sample);
}

// Of questions in full precision and the nearest of each, the only things that grow.
Status Searcher::check_recall_room(const RecallOptions& options,
                                   const storage::Collection& collection, std::int64_t queries) {
  return indexes_.room_for(collection.name, true)
      .check(collection.name,
             fmt::format("measure recall with {} questions and {} neighbours of each", queries,
                         options.k),
             [&](const MemoryBudget&) {
               return queries * (12 * std::int64_t{collection.width} + 64 * options.k);
             });
}

bool Searcher::prefixes_fit(const storage::Collection& collection) {
  // Half a kilobyte of memory a passage.
  constexpr std::int64_t kMostForPrefixes = 500'000;
  if (collection.passages > kMostForPrefixes) return false;
  const CollectionStatePointer entry = context_.published.get()->find(collection.name);
  const IndexPointer index = entry == nullptr ? nullptr : IndexManager::in_memory(*entry);
  if (index != nullptr && index->index.has_width(kPrefixWidth)) return true;
  return indexes_.room_for(collection.name, true)
      .fits(collection.name, "measure a pass over prefixes", "it is left out",
            [&](const MemoryBudget&) {
              return index::CoarseIndex::bytes_of(kPrefixWidth, collection.passages);
            });
}

Result<RecallReport> Searcher::measure_recall(const RecallOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_recall(options));
  for (std::size_t i = 0; i < options.questions.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(check_question(options.questions[i], i));
  }
  RecallReport report;
  StatePointer state = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, context_.find(*state, options.collection));
  if (!collection.has_value() || collection->passages == 0) return report;
  if (collection->metric != Metric::kCosine) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("recall is measured by cosines; collection '{}' is compared by {}, and "
                    "its searches are exact",
                    collection->name, metric_name(collection->metric)));
  }
  if (collection->external && !options.questions.empty()) {
    NESTOR_RETURN_IF_ERROR(check_query_fits(*collection, {}));
  }
  report.passages = collection->passages;
  NESTOR_ASSIGN_OR_RETURN(const std::vector<float> questions,
                          recall_queries(*state, *collection, options, report));
  const auto width = static_cast<std::size_t>(collection->width);
  report.questions = static_cast<std::int64_t>(questions.size() / width);
  const auto ask = [&](std::size_t i, const SearchOptions& search) {
    return search_vector(std::span(questions).subspan(i * width, width), search);
  };
  NESTOR_RETURN_IF_ERROR(check_recall_room(options, *collection, report.questions));
  Result<std::vector<std::set<PassageName>>> truth =
      options.filter.empty()
          ? exact_passages(store_, *state->view, *collection, questions, options.k)
          : searched_passages(static_cast<std::size_t>(report.questions), options, ask);
  NESTOR_RETURN_IF_ERROR(truth.status());
  state.reset();  // searches take newer ones
  if (collection->external) {
    report.plans.push_back({.coarse_width = collection->width});
  } else {
    for (const double target : {.9, .95, .99, .999}) {
      report.plans.push_back({.recall_target = target});
    }
    if (prefixes_fit(*collection)) report.plans.push_back({.coarse_width = kPrefixWidth});
  }
  NESTOR_RETURN_IF_ERROR(measure_plans(truth.value(), options, ask, report));
  return report;
}

}  // namespace nestor::query
