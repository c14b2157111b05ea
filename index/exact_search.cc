#include "index/exact_search.h"

#include <faiss/utils/Heap.h>
#include <faiss/utils/distances.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"

namespace nestor::index {
namespace {

// Rows scored at once: what they take is bounded whatever their width.
constexpr std::size_t kMostBlockRows = 4096;
constexpr std::size_t kMostBlockBytes = std::size_t{4} << 20;

void append_unit(std::span<const float> row, std::vector<float>& rows) {
  const double square = dot(row, row);
  const double factor = square > 0 ? 1 / std::sqrt(square) : 0;
  for (const float value : row) rows.push_back(static_cast<float>(value * factor));
}

class ExactSearch {
 public:
  ExactSearch(std::span<const float> questions, std::size_t width, std::size_t k)
      : width_(width),
        k_(k),
        block_rows_(
            std::clamp<std::size_t>(kMostBlockBytes / (width * sizeof(float)), 16, kMostBlockRows)),
        best_(questions.size() / width) {
    for (std::size_t i = 0; i < best_.size(); ++i) {
      append_unit(questions.subspan(i * width, width), questions_);
    }
    scores_.resize(best_.size() * k);
    positions_.resize(scores_.size());
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
  std::vector<std::vector<Candidate>> take() { return std::move(best_); }

 private:
  void add_block() {
    const std::size_t count = best_.size();
    faiss::float_minheap_array_t heaps = {count, k_, positions_.data(), scores_.data()};
    faiss::knn_inner_product(questions_.data(), rows_.data(), width_, count, ids_.size(), &heaps);
    for (std::size_t q = 0; q < count; ++q) {
      std::vector<Candidate>& best = best_[q];
      for (std::size_t i = q * k_; i < (q + 1) * k_; ++i) {
        if (positions_[i] < 0) continue;
        best.push_back({.id = ids_[static_cast<std::size_t>(positions_[i])], .score = scores_[i]});
      }
      std::sort(best.begin(), best.end(), [](const Candidate& a, const Candidate& b) {
        return a.score != b.score ? a.score > b.score : a.id < b.id;
      });
      if (best.size() > k_) best.resize(k_);
    }
    ids_.clear();
    rows_.clear();
  }

  std::size_t width_;
  std::size_t k_;
  std::size_t block_rows_;
  std::vector<float> questions_;              // (questions, width), unit rows
  std::vector<std::vector<Candidate>> best_;  // of each question
  std::vector<float> rows_;                   // of a block, unit rows
  std::vector<std::uint64_t> ids_;            // of a block
  std::vector<float> scores_;                 // (questions, k), of a block
  std::vector<std::int64_t> positions_;       // in the block
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
  } catch (const std::exception& error) {  // FAISS's
    return Status(StatusCode::kInternal, fmt::format("an exact search failed: {}", error.what()));
  }
}

}  // namespace nestor::index
