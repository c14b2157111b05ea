// Database::Impl's searches of many questions at once: one batch for the encoder, then a question a
// thread.
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "core/macros.h"
#include "query/database_impl.h"
#include "query/input_check.h"
#include "query/stopwatch.h"

namespace nestor {

ThreadPool& Database::Impl::search_pool() const {
  const std::lock_guard lock(pool_mutex_);
  if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(thread_count);
  return *pool_;
}

Result<std::vector<SearchResult>> Database::Impl::search_batch(
    const std::vector<std::string>& questions, const SearchOptions& options) const {
  std::vector<SearchResult> results(questions.size());
  std::vector<std::vector<float>> vectors(questions.size());
  if (questions.empty()) return results;
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  for (std::size_t i = 0; i < questions.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(query::check_question(questions[i], i));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
  if (!collection.has_value()) return results;
  NESTOR_RETURN_IF_ERROR(check_question_fits(*collection, options));
  if (!collection->external) {
    const Status embedded = embed_questions(questions, *collection, options, vectors, results);
    if (!embedded.ok() && !words_are_enough(embedded, options)) return embedded;
  }
  const Status searched = search_pool().try_for_each(
      static_cast<std::int64_t>(questions.size()), [&](std::int64_t i, int) -> Status {
        const auto at = static_cast<std::size_t>(i);
        Question question;
        question.vectors = std::move(vectors[at]);
        question.collection_id = collection->id;
        question.text = questions[at];
        NESTOR_RETURN_IF_ERROR(take_words(*collection, options, question));
        NESTOR_ASSIGN_OR_RETURN(results[at],
                                search_with(question, options, std::move(results[at])));
        return {};
      });
  NESTOR_RETURN_IF_ERROR(searched);
  return results;
}

Result<std::vector<SearchResult>> Database::Impl::search_vectors(
    std::span<const float> vectors, const SearchOptions& options) const {
  NESTOR_RETURN_IF_ERROR(query::check_search(options));
  NESTOR_RETURN_IF_ERROR(check_vector_mode(options));
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*current_view(), options.collection));
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
  NESTOR_RETURN_IF_ERROR(query::check_search_in(options, collection->metric));
  std::vector<SearchResult> results(vectors.size() / width);
  for (std::size_t i = 0; i < results.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(query::check_vector(vectors.subspan(i * width, width), collection->width,
                                               fmt::format("query {}", i), collection->metric));
  }
  NESTOR_RETURN_IF_ERROR(search_pool().try_for_each(
      static_cast<std::int64_t>(results.size()), [&](std::int64_t i, int) -> Status {
        const auto at = static_cast<std::size_t>(i);
        const auto vector = vectors.subspan(at * width, width);
        Question question;
        question.vectors.assign(vector.begin(), vector.end());
        question.collection_id = collection->id;
        NESTOR_ASSIGN_OR_RETURN(results[at], search_with(question, options, SearchResult{}));
        return {};
      }));
  return results;
}

}  // namespace nestor
