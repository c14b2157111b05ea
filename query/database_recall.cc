// Database::Impl's measurement of its own recall.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/macros.h"
#include "query/database_impl.h"
#include "query/input_check.h"
#include "query/recall_measurement.h"

namespace nestor {

namespace {

constexpr int kPrefixWidth = 128;

}  // namespace

Result<std::vector<float>> Database::Impl::recall_questions(
    const storage::DocumentStore::View& seen, const storage::Collection& collection,
    const RecallOptions& options, RecallReport& report) const {
  std::vector<std::string> questions = options.questions;
  report.asked = "your own questions";
  if (questions.empty() && !collection.external) {
    NESTOR_ASSIGN_OR_RETURN(questions,
                            query::sample_sentences(*store, seen, collection, options.sample));
    report.asked = "first sentences of passages";
  }
  if (!collection.external && !questions.empty()) {
    std::vector<std::vector<float>> vectors(questions.size());
    std::vector<SearchResult> results(questions.size());
    const SearchOptions as_asked{.collection = options.collection, .stop = options.stop};
    const Status embedded = embed_questions(questions, collection, as_asked, vectors, results);
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
  return query::sample_vectors(*store, seen, collection, options.sample);
}

// Of questions in full precision and the nearest of each, the only things that grow.
Status Database::Impl::check_recall_room(const RecallOptions& options,
                                         const storage::Collection& collection,
                                         std::int64_t questions) const {
  const std::shared_lock lock(state);
  return room_for(collection.name, true)
      .check(collection.name,
             fmt::format("measure recall with {} questions and {} neighbours of each", questions,
                         options.k),
             [&](const query::MemoryBudget&) {
               return questions * (12 * std::int64_t{collection.width} + 64 * options.k);
             });
}

bool Database::Impl::prefixes_fit(const storage::Collection& collection) const {
  // Half a kilobyte of memory a passage.
  constexpr std::int64_t kMostForPrefixes = 500'000;
  if (collection.passages > kMostForPrefixes) return false;
  const std::shared_lock lock(state);
  const auto found = indexes.find(collection.name);
  if (found != indexes.end() && found->second.loaded.index->has_width(kPrefixWidth)) return true;
  return room_for(collection.name, true)
      .fits(collection.name, "measure a pass over prefixes", "it is left out",
            [&](const query::MemoryBudget&) {
              return index::CoarseIndex::bytes_of(kPrefixWidth, collection.passages);
            });
}

Result<RecallReport> Database::Impl::measure_recall(const RecallOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_recall(options));
  for (std::size_t i = 0; i < options.questions.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(query::check_question(options.questions[i], i));
  }
  RecallReport report;
  const auto seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*seen, options.collection));
  if (!collection.has_value() || collection->passages == 0) return report;
  if (collection->metric != Metric::kCosine) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("recall is measured by cosines; collection '{}' is compared by {}, and "
                    "its searches are exact",
                    collection->name, metric_name(collection->metric)));
  }
  if (collection->external && !options.questions.empty()) {
    NESTOR_RETURN_IF_ERROR(check_question_fits(*collection, {}));
  }
  report.passages = collection->passages;
  NESTOR_ASSIGN_OR_RETURN(const std::vector<float> questions,
                          recall_questions(*seen, *collection, options, report));
  const auto width = static_cast<std::size_t>(collection->width);
  report.questions = static_cast<std::int64_t>(questions.size() / width);
  const auto ask = [&](std::size_t i, const SearchOptions& search) {
    return search_vector(std::span(questions).subspan(i * width, width), search);
  };
  NESTOR_RETURN_IF_ERROR(check_recall_room(options, *collection, report.questions));
  Result<std::vector<std::set<query::PassageName>>> truth =
      options.filter.empty()
          ? query::exact_passages(*store, *seen, *collection, questions, options.k)
          : query::searched_passages(static_cast<std::size_t>(report.questions), options, ask);
  NESTOR_RETURN_IF_ERROR(truth.status());
  if (collection->external) {
    report.plans.push_back({.coarse_width = collection->width});
  } else {
    for (const double target : {.9, .95, .99, .999}) {
      report.plans.push_back({.recall_target = target});
    }
    if (prefixes_fit(*collection)) report.plans.push_back({.coarse_width = kPrefixWidth});
  }
  NESTOR_RETURN_IF_ERROR(query::measure_plans(truth.value(), options, ask, report));
  return report;
}

}  // namespace nestor
