// Database::Impl's searches of many questions at once: one batch for the encoder, one walk over the
// codes for some dozens of them, then a question a thread.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "core/cpu_features.h"
#include "core/macros.h"
#include "query/database_impl.h"
#include "query/input_check.h"
#include "query/stopwatch.h"

namespace nestor {

using storage::Collection;

ThreadPool& Database::Impl::search_pool() const {
  const std::lock_guard lock(pool_mutex_);
  if (pool_ == nullptr) pool_ = std::make_unique<ThreadPool>(useful_thread_count(thread_count));
  return *pool_;
}

Status Database::Impl::scan_for(std::span<const Question> questions, const SearchOptions& options,
                                const Ground& ground, std::span<query::FirstRound> rounds) const {
  NESTOR_RETURN_IF_ERROR(StopCheck(options.stop, options.deadline).check());
  std::vector<float> block;
  for (const Question& question : questions) {
    block.insert(block.end(), question.vectors.begin(), question.vectors.end());
  }
  const std::shared_lock lock(state);
  const auto found = indexes.find(options.collection);
  if (found == indexes.end() || found->second.collection.id != ground.collection.id ||
      found->second.collection.sequence != ground.collection.sequence) {
    return {};
  }
  const query::CollectionIndex& searched = *found->second.loaded.index;
  NESTOR_ASSIGN_OR_RETURN(query::Plan plan, plan_for(options, ground, &searched.calibration()));
  // Lists differ from question to question; each looks through its own.
  if (!plan.codes || takes_all_rows(searched, plan, ground) || searched.codes().has_lists()) {
    return {};
  }
  NESTOR_ASSIGN_OR_RETURN(const auto mask, mask_for(found->second, ground, plan));
  index::LadderTrace trace;
  NESTOR_ASSIGN_OR_RETURN(
      auto candidates,
      searched.codes().search_many(
          block, {.scan_count = plan.scan_count, .rank_count = plan.candidate_count}, mask.get(),
          &trace));
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    rounds[i] = {.scan_count = plan.scan_count,
                 .candidate_count = plan.candidate_count,
                 .exact = trace.exact,
                 .seconds = trace.scan_seconds + trace.rank_seconds,
                 .candidates = std::move(candidates[i])};
  }
  return {};
}

Result<Database::Impl::Together> Database::Impl::begin_together(
    std::span<const Question> questions, const SearchOptions& options) const {
  Together together;
  NESTOR_ASSIGN_OR_RETURN(together.ground, newest_ground(questions.front(), options));
  if (!together.ground.has_value()) return together;
  together.ground->filter_seconds /= static_cast<double>(questions.size());
  if (options.mode == SearchMode::kKeyword) return together;
  const auto width = static_cast<std::size_t>(together.ground->collection.width);
  for (const Question& question : questions) {
    if (question.vectors.size() != width) return together;
  }
  together.rounds.resize(questions.size());
  const std::size_t each =
      index::LadderIndex::queries_a_group(questions.size(), search_pool().thread_count());
  // Each group takes the lock for itself: held here, it would be held while other calls have the
  // pool, whose threads may be waiting behind a writer for this lock.
  NESTOR_RETURN_IF_ERROR(search_pool().try_for_each(
      static_cast<std::int64_t>((questions.size() + each - 1) / each),
      [&](std::int64_t group, int) -> Status {
        const std::size_t first = static_cast<std::size_t>(group) * each;
        const std::size_t count = std::min(each, questions.size() - first);
        return scan_for(questions.subspan(first, count), options, *together.ground,
                        std::span(together.rounds).subspan(first, count));
      }));
  return together;
}

Status Database::Impl::search_together(std::span<Question> questions, const SearchOptions& options,
                                       const Collection& collection,
                                       std::span<SearchResult> results) const {
  // What the questions have in common is renewed now and then: rows expire, writers go on.
  constexpr std::size_t kMostOfOneGround = 256;
  for (std::size_t first = 0; first < questions.size(); first += kMostOfOneGround) {
    const std::size_t count = std::min(kMostOfOneGround, questions.size() - first);
    const auto asked = questions.subspan(first, count);
    Together together;
    if (count > 1) {
      NESTOR_ASSIGN_OR_RETURN(together, begin_together(asked, options));
    }
    const Status searched = search_pool().try_for_each(
        static_cast<std::int64_t>(count), [&](std::int64_t i, int) -> Status {
          const auto at = static_cast<std::size_t>(i);
          NESTOR_RETURN_IF_ERROR(take_words(collection, options, asked[at]));
          Before before;
          if (together.ground.has_value()) before.ground = &*together.ground;
          if (!together.rounds.empty()) before.round = &together.rounds[at];
          SearchResult& result = results[first + at];
          NESTOR_ASSIGN_OR_RETURN(result,
                                  search_with(asked[at], options, std::move(result), before));
          return {};
        });
    NESTOR_RETURN_IF_ERROR(searched);
  }
  return {};
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
  std::vector<Question> asked(questions.size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    asked[i].vectors = std::move(vectors[i]);
    asked[i].collection_id = collection->id;
    asked[i].text = questions[i];
  }
  NESTOR_RETURN_IF_ERROR(search_together(asked, options, *collection, results));
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
  std::vector<Question> asked(results.size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto vector = vectors.subspan(i * width, width);
    asked[i].vectors.assign(vector.begin(), vector.end());
    asked[i].collection_id = collection->id;
  }
  NESTOR_RETURN_IF_ERROR(search_together(asked, options, *collection, results));
  return results;
}

}  // namespace nestor
