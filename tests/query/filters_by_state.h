// The filters of each state that a test asks of, as a database has them: one object per state.
// Threads: safe anywhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "query/collection_filters.h"
#include "storage/records.h"

namespace nestor::query::testing {

class FiltersByState {
 public:
  explicit FiltersByState(std::size_t most_bytes = std::size_t{64} << 20)
      : budget_(std::make_shared<FilterBudget>(most_bytes)) {}

  std::shared_ptr<CollectionFilters> of(const storage::Collection& collection) {
    const std::lock_guard lock(mutex_);
    auto& filters = filters_[collection.sequence];
    if (filters == nullptr) filters = std::make_shared<CollectionFilters>(budget_);
    return filters;
  }
  void clear() { filters_.clear(); }
  [[nodiscard]] FilterBudget::Usage usage() const { return budget_->usage(); }

 private:
  const std::shared_ptr<FilterBudget> budget_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<CollectionFilters>> filters_;  // by sequence
};

}  // namespace nestor::query::testing
