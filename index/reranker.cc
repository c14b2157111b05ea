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

Result<std::vector<Candidate>> rank(const VectorSource& source, std::span<const float> query,
                                    int width, std::span<const std::uint64_t> ids,
                                    std::int64_t count) {
  const std::size_t row_floats = static_cast<std::size_t>(width);
  const std::span<const float> prefix = query.first(row_floats);
  const double query_square = dot(prefix, prefix);
  TopCandidates best(std::min(count, static_cast<std::int64_t>(ids.size())));
  std::vector<float> rows(std::min(kBlockRows, ids.size()) * row_floats);  // (block, width)
  for (std::size_t first = 0; first < ids.size(); first += kBlockRows) {
    const auto block = ids.subspan(first, std::min(kBlockRows, ids.size() - first));
    NESTOR_RETURN_IF_ERROR(source.read(block, width, rows.data()));
    for (std::size_t i = 0; i < block.size(); ++i) {
      const std::span<const float> row(rows.data() + i * row_floats, row_floats);
      const double square = query_square * dot(row, row);
      const double cosine = square == 0 ? 0 : dot(prefix, row) / std::sqrt(square);
      if (!std::isfinite(cosine)) {
        return Status(StatusCode::kDataLoss,
                      fmt::format("row {} holds a value that is not finite; run verify", block[i]));
      }
      best.offer({.id = block[i], .score = static_cast<float>(cosine)});
    }
  }
  return best.take();
}

}  // namespace

Result<std::vector<Candidate>> rerank(const VectorSource& source, std::span<const float> query,
                                      int width, std::span<const std::uint64_t> ids,
                                      std::int64_t count) {
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
    return rank(source, query, width, ids, count);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(
        StatusCode::kOutOfMemory,
        fmt::format("rerank: no memory to rank {} rows of width {}; ask for fewer candidates",
                    ids.size(), width));
  }
}

}  // namespace nestor::index
