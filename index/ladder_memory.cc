// What LadderIndex holds in memory while it grows, is built and is sorted: asked before, by owners
// that have a limit.
#include <algorithm>

#include "index/ladder_index.h"
#include "index/list_sorter.h"

namespace nestor::index {
namespace {

// A vector that doubles holds the old place beside the new one: half as much again at the end.
std::int64_t doubled(std::int64_t bytes) { return bytes * 3 / 2; }

std::int64_t row_floats(const LadderShape& shape, std::int64_t rows) {
  return rows * shape.width * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

std::int64_t LadderIndex::bytes_with(std::int64_t more) const {
  const std::int64_t other = memory_bytes() - codes_.memory_bytes();
  if (trained()) return other + codes_.bytes_with(more);
  const std::int64_t total = codes_.row_count() + more;
  // The rows themselves, which double.
  const std::int64_t kept = 3 * row_floats(shape_, std::min(total, kTrainRows));
  if (total < kTrainRows) return codes_.bytes_with(more) + kept;
  return codes_.bytes_with(0) + LadderCodes::bytes_of(shape_.layout(), total) + kept +
         doubled(row_floats(shape_, std::min(more, kMostTrainRows) + kTrainRows));
}

std::int64_t LadderIndex::build_bytes(const LadderShape& shape, std::int64_t row_count,
                                      std::int64_t train_rows) {
  if (row_count < kTrainRows) {
    return LadderCodes::bytes_of(shape.layout(), row_count) + 3 * row_floats(shape, row_count);
  }
  const std::int64_t sampled =
      std::min(row_count, std::clamp(train_rows, kTrainRows, kMostTrainRows));
  return LadderCodes::bytes_of(shape.layout(), row_count) + doubled(row_floats(shape, sampled));
}

std::int64_t LadderIndex::list_bytes(const LadderShape& shape, std::int64_t row_count) {
  // Of each row its place, its rank, its position, its list, and its number in its cell twice.
  constexpr std::int64_t kRowBytes = 6 * 4;
  // Of the lists their centroids, in floats and as codes.
  const std::int64_t lists = row_count / kUsualListRows + 1;
  // Of a step of k-means its sample as codes, and the centroids as they are compared.
  constexpr std::int64_t kStepBytes = std::int64_t{8} << 20;
  return LadderCodes::bytes_of(shape.layout(), row_count) + kRowBytes * row_count +
         lists * shape.scan_width * 5 + kStepBytes;
}

bool LadderIndex::may_sweep() const {
  return most_bytes_ == 0 ||
         memory_bytes() - mapped_bytes() + LadderCodes::bytes_of(shape_.layout(), live_count()) <=
             most_bytes_;
}

}  // namespace nestor::index
