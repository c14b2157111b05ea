#include "index/exact_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "core/vector_math_product.h"
#include "index/top_candidates.h"

namespace nestor::index {
namespace {

// Rows scored at once: what they take is bounded whatever their width.
constexpr std::size_t kMostBlockRows = 4096;
constexpr std::size_t kMostBlockBytes = std::size_t{4} << 20;
// Questions scored at once: their scores of a block take a megabyte.
constexpr std::size_t kStepQuestions = 64;

void append_unit(std::span<const float> row, std::vector<float>& rows) {
  const double square = dot(row, row);
  const double factor = square > 0 ? 1 / std::sqrt(square) : 0;
  for (const float value : row) rows.push_back(static_cast<float>(value * factor));
}

class ExactSearch {
 public:
  ExactSearch(std::span<const float> questions, std::size_t width, std::size_t k)
      : width_(width),
        block_rows_(
            std::clamp<std::size_t>(kMostBlockBytes / (width * sizeof(float)), 16, kMostBlockRows)),
        best_(questions.size() / width, TopCandidates(static_cast<std::int64_t>(k))) {
    for (std::size_t i = 0; i < best_.size(); ++i) {
      append_unit(questions.subspan(i * width, width), questions_);
    }
    scores_.resize(std::min(best_.size(), kStepQuestions) * block_rows_);
    rows_.reserve(block_rows_ * width);
  }

  Status add_all(const VectorSource& source) {
    NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t id, std::span<const float> row) {
      append_unit(row.first(width_), rows_);
      ids_.push_back(id);
      if (ids_.size() == block_rows_) add_block();
      return true;
    }));
    if (!ids_.empty()) add_block();
    return {};
  }

  std::vector<std::vector<Candidate>> take() {
    std::vector<std::vector<Candidate>> found;
    found.reserve(best_.size());
    for (TopCandidates& best : best_) found.push_back(best.take());
    return found;
  }

 private:
  void add_block() {
    const auto width = static_cast<std::int64_t>(width_);
    const auto rows = static_cast<std::int64_t>(ids_.size());
    for (std::size_t first = 0; first < best_.size(); first += kStepQuestions) {
      const std::size_t count = std::min(kStepQuestions, best_.size() - first);
      product_transposed(
          {.rows = static_cast<std::int64_t>(count), .columns = rows, .inner = width}, 1.0F,
          {questions_.data() + first * width_, width}, {rows_.data(), width},
          {scores_.data(), rows});
      for (std::size_t q = 0; q < count; ++q) {
        TopCandidates& best = best_[first + q];
        const float* const scores = scores_.data() + q * ids_.size();
        for (std::size_t i = 0; i < ids_.size(); ++i) {
          if (scores[i] >= best.threshold()) best.offer({.id = ids_[i], .score = scores[i]});
        }
      }
    }
    ids_.clear();
    rows_.clear();
  }

  std::size_t width_;
  std::size_t block_rows_;
  std::vector<float> questions_;     // (questions, width), unit rows
  std::vector<TopCandidates> best_;  // of each question
  std::vector<float> rows_;          // of a block, unit rows
  std::vector<std::uint64_t> ids_;   // of a block
  std::vector<float> scores_;        // (questions of a step, rows of a block)
};

}  // namespace

Result<std::vector<std::vector<Candidate>>> search_exactly(const VectorSource& source,
                                                           std::span<const float> questions,
                                                           int width, std::int64_t k) {
  NESTOR_CHECK(width > 0 && k > 0, "an exact search without a width or a count");
  try {
    ExactSearch search(questions, static_cast<std::size_t>(width), static_cast<std::size_t>(k));
    NESTOR_RETURN_IF_ERROR(search.add_all(source));
    return search.take();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "no memory for an exact search");
  } catch (const std::exception& error) {  // length_error
    return Status(StatusCode::kInternal, fmt::format("an exact search failed: {}", error.what()));
  }
}

}  // namespace nestor::index
