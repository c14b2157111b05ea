#include "query/rerank_hits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>
#include <span>

#include "core/macros.h"

namespace nestor::query {
namespace {

Result<std::vector<double>> call(const RerankCallback& callback, const RerankRequest& request) {
  try {
    return callback(request);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "the rerank function ran out of memory");
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal,
                  fmt::format("the rerank function threw an exception: {}", error.what()));
  } catch (...) {
    return Status(StatusCode::kInternal,
                  "the rerank function threw something that is no std::exception");
  }
}

}  // namespace

Status rerank_hits(std::string_view question, const SearchOptions& options,
                   std::vector<Hit>& hits) {
  const auto count = static_cast<std::ptrdiff_t>(
      std::min(hits.size(), static_cast<std::size_t>(options.rerank_count)));
  if (count == 0) return {};
  const auto candidates = std::span(hits).first(static_cast<std::size_t>(count));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<double> scores,
                          call(options.rerank, {.query = question,
                                                .candidates = candidates,
                                                .stop = options.stop,
                                                .deadline = options.deadline}));
  if (scores.size() != candidates.size()) {
    return {
        StatusCode::kInvalidArgument,
        fmt::format("the rerank function gave {} scores for {} candidates; one each is expected",
                    scores.size(), candidates.size())};
  }
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i])) {
      return {StatusCode::kInvalidArgument,
              fmt::format("the rerank function gave candidate {} the score {}; a finite number is "
                          "expected",
                          i, scores[i])};
    }
    hits[i].rerank_score = scores[i];
  }
  std::stable_sort(hits.begin(), hits.begin() + count,
                   [](const Hit& a, const Hit& b) { return *a.rerank_score > *b.rerank_score; });
  return {};
}

}  // namespace nestor::query
