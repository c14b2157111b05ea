#include "index/reranker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/top_candidates.h"

namespace nestor::index {
namespace {

// Rows read at once: 256 of 768 floats are 786 kB, within the second-level cache.
constexpr std::size_t kBlockRows = 256;

double squared_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    sum += difference * difference;
  }
  return sum;
}

double score(Metric metric, std::span<const float> query, double query_square,
             std::span<const float> row) {
  if (metric == Metric::kDot) return dot(query, row);
  if (metric == Metric::kL2) return -squared_distance(query, row);
  const double square = query_square * dot(row, row);
  return square == 0 ? 0 : dot(query, row) / std::sqrt(square);
}

Result<std::vector<Candidate>> rank(const VectorSource& source, std::span<const float> query,
                                    int width, std::span<const std::uint64_t> ids,
                                    std::int64_t count, Metric metric, const StopCheck& stop) {
  const std::size_t row_floats = static_cast<std::size_t>(width);
  const std::span<const float> prefix = query.first(row_floats);
  const double query_square = dot(prefix, prefix);
  TopCandidates best(std::min(count, static_cast<std::int64_t>(ids.size())));
  std::vector<float> rows(std::min(kBlockRows, ids.size()) * row_floats);  // (block, width)
  for (std::size_t first = 0; first < ids.size(); first += kBlockRows) {
    NESTOR_RETURN_IF_ERROR(stop.check());
    const auto block = ids.subspan(first, std::min(kBlockRows, ids.size() - first));
    NESTOR_RETURN_IF_ERROR(source.read(block, width, rows.data()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::span<const float> row(rows.data() + i * row_floats, row_floats);
      const double exact = score(metric, prefix, query_square, row);
      if (!std::isfinite(exact)) {
        return Status(StatusCode::kDataLoss,
                      fmt::format("row {} holds a value that is not finite; run verify", block[i]));
      }
      best.offer({.id = block[i], .score = static_cast<float>(exact)});
    }
  }
  return best.take();
}

}  // namespace

Result<std::vector<Candidate>> rerank(const VectorSource& source, std::span<const float> query,
                                      int width, std::span<const std::uint64_t> ids,
                                      std::int64_t count, Metric metric, const StopCheck& stop) {
  NESTOR_CHECK(width > 0, "a rerank needs a width");
  if (query.size() < static_cast<std::size_t>(width) ||
      !all_finite(query.first(static_cast<std::size_t>(width)))) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("rerank: a query needs {} finite values; it has {}{}", width, query.size(),
                    query.size() < static_cast<std::size_t>(width) ? "" : ", not all finite"));
  }
  if (count < 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("rerank: {} hits were asked for; the least is 0", count));
  }
  try {
    return rank(source, query, width, ids, count, metric, stop);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(
        StatusCode::kOutOfMemory,
        fmt::format("rerank: no memory to rank {} rows of width {}; ask for fewer candidates",
                    ids.size(), width));
  }
}

}  // namespace nestor::index
