#include "query/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>

#include "index/ladder_index.h"
#include "query/row_files.h"

namespace nestor::query {
namespace {

constexpr std::int64_t kMebibyte = std::int64_t{1} << 20;

MemoryBudget divided(std::int64_t bytes) {
  return {.total = bytes,
          .index = bytes / 2,
          .store = bytes / 4,
          .filter_sets = bytes / 16,
          .keyword_lists = bytes / 16,
          .row_tail = bytes / 16,
          .filter_masks = bytes / 32,
          .questions = bytes / 64};
}

std::string mebibytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / kMebibyte);
}

}  // namespace

Result<MemoryBudget> MemoryBudget::of(std::int64_t bytes, std::int64_t query_cache_bytes) {
  const std::int64_t questions = std::max<std::int64_t>(query_cache_bytes, 0);
  if (bytes == 0) {
    MemoryBudget none;
    none.questions = questions;
    return none;
  }
  if (bytes < 0) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("a memory budget of {} bytes; 0 for none, or at least {} are expected", bytes,
                    kLeast));
  }
  if (bytes < kLeast) {
    return Status(StatusCode::kOutOfMemory,
                  fmt::format("a memory budget of {} bytes is below the least a database works "
                              "with, {} ({} bytes); give it that (--memory {}), or no budget",
                              bytes, budget_text(kLeast), kLeast, budget_text(kLeast)));
  }
  MemoryBudget budget = divided(bytes);
  budget.questions = std::min(budget.questions, questions);
  return budget;
}

std::int64_t MemoryBudget::train_rows(int width) const {
  using index::LadderIndex;
  if (!limited()) return LadderIndex::kMostTrainRows;
  // A sample that grows is copied: half as much again.
  const std::int64_t row_bytes = std::int64_t{4} * width * 3 / 2;
  return std::clamp(index / 4 / row_bytes, LadderIndex::kTrainRows, LadderIndex::kMostTrainRows);
}

std::int64_t MemoryBudget::tail_rows(int width, std::int64_t passages) const {
  if (!limited()) return kMostTailRows;
  constexpr std::int64_t kLeastRows = 512;
  constexpr std::int64_t kMostFiles = 512;
  const std::int64_t fit = row_tail / 3 / (width + 20);
  return std::clamp(std::max(fit, passages / kMostFiles), kLeastRows, kMostTailRows);
}

std::int64_t MemoryBudget::import_bytes(std::int64_t usual) const {
  return limited() ? std::min(usual, total / 64) : usual;
}

std::int64_t least_budget(const NeededBytes& needed) {
  const auto enough = [&](std::int64_t budget) {
    const std::int64_t whole = (2 * needed(divided(budget)) + kMebibyte - 1) / kMebibyte;
    return std::max(whole * kMebibyte, MemoryBudget::kLeast);
  };
  // What is needed grows with the share up to an end: from above, each answer is enough too.
  std::int64_t least = enough(std::int64_t{1} << 50);
  for (std::int64_t next = enough(least); next < least; next = enough(least)) least = next;
  return least;
}

Status IndexRoom::check(const std::string& collection, const std::string& action,
                        const NeededBytes& needed) const {
  if (!budget.limited()) return {};
  const std::int64_t bytes = others + needed(budget);
  if (bytes <= budget.index) return {};
  const std::int64_t least =
      least_budget([&](const MemoryBudget& asked) { return others + needed(asked); });
  const std::string held =
      others == 0 ? "" : fmt::format(", {} of them held for other collections", mebibytes(others));
  return {StatusCode::kOutOfMemory,
          fmt::format("collection '{}': no memory to {}: {}{} are needed and the share of indexes "
                      "is {}, half of the budget of {}; give it {} (--memory {}), or search with "
                      "fewer coarse widths",
                      collection, action, mebibytes(bytes), held, mebibytes(budget.index),
                      mebibytes(budget.total), mebibytes(least), budget_text(least))};
}

bool IndexRoom::fits(const std::string& collection, const std::string& action,
                     const std::string& otherwise, const NeededBytes& needed) const {
  const Status room = check(collection, action, needed);
  if (room.ok()) return true;
  if (hold_back) {
    hold_back(fmt::format("{} of collection '{}'", action, collection),
              {room.code(), otherwise + ": " + room.message()});
  }
  return false;
}

std::string budget_text(std::int64_t bytes) {
  constexpr std::int64_t kGibibyte = 1024 * kMebibyte;
  if (bytes % kGibibyte == 0) return fmt::format("{}G", bytes / kGibibyte);
  return fmt::format("{}M", (bytes + kMebibyte - 1) / kMebibyte);
}

}  // namespace nestor::query
