#include "query/collection_filters.h"

#include <algorithm>
#include <utility>

#include "query/expiry.h"
#include "query/filter_match.h"
#include "query/filter_node.h"

namespace nestor::query {
namespace {

// More documents and rows than that are quicker read from the field index.
constexpr std::size_t kMostChanged = 4096;

std::size_t bytes_of(const LiveRows& live) {
  return sizeof(LiveRows) + live.rows->memory_bytes() + live.first_rows->memory_bytes() +
         live.expiries.capacity() * sizeof(LiveRows::Expiry);
}

}  // namespace

FilterBudget::Usage FilterBudget::usage() const {
  const std::lock_guard guard(mutex_);
  Usage usage{.bytes = 0, .conditions = 0, .hits = hits_, .misses = misses_};
  for (const CollectionFilters* member : members_) {
    usage.bytes += member->bytes_;
    usage.conditions += member->conditions_;
  }
  return usage;
}

void FilterBudget::join(CollectionFilters& filters) {
  const std::lock_guard guard(mutex_);
  members_.insert(&filters);
}

void FilterBudget::leave(CollectionFilters& filters) {
  const std::lock_guard guard(mutex_);
  members_.erase(&filters);
}

void FilterBudget::shrink() {
  const std::lock_guard guard(mutex_);
  std::set<CollectionFilters*> empty;  // of what may be dropped
  for (;;) {
    std::size_t bytes = 0;
    CollectionFilters* largest = nullptr;
    for (CollectionFilters* member : members_) {
      bytes += member->bytes_;
      if (empty.contains(member)) continue;
      if (largest == nullptr || member->bytes_ > largest->bytes_) largest = member;
    }
    if (bytes <= most_bytes_ || largest == nullptr) return;
    const std::lock_guard member(largest->mutex_);
    if (!largest->drop_one(strict_)) empty.insert(largest);
  }
}

CollectionFilters::CollectionFilters(std::shared_ptr<FilterBudget> budget)
    : budget_(std::move(budget)) {
  budget_->join(*this);
}

CollectionFilters::~CollectionFilters() { budget_->leave(*this); }

std::shared_ptr<CollectionFilters> CollectionFilters::after(
    const std::shared_ptr<CollectionFilters>& before, FilterChange change) {
  auto made = std::make_shared<CollectionFilters>(before->budget_);
  const bool adds_expiry = std::ranges::any_of(
      change.added, [](const auto& added) { return expiry_of(added.metadata).has_value(); });
  const std::lock_guard guard(before->mutex_);
  if (adds_expiry) {
    made->has_expiries_ = true;
  } else if (before->has_expiries_ == false || change.removed_rows.empty()) {
    made->has_expiries_ = before->has_expiries_;
  }
  const bool up_to_date = before->before_ == nullptr;
  if (up_to_date && before->live_ == nullptr) return made;
  std::size_t count = change.count();
  for (const auto& earlier : before->changes_) count += earlier->count();
  if (count > kMostChanged) return made;
  made->changes_ = before->changes_;
  made->changes_.push_back(std::make_shared<const FilterChange>(std::move(change)));
  made->before_ = up_to_date ? before : before->before_;
  return made;
}

void CollectionFilters::catch_up(std::shared_ptr<CollectionFilters>& finished) {
  if (before_ == nullptr) return;
  finished = std::move(before_);
  const std::vector<std::shared_ptr<const FilterChange>> changes = std::move(changes_);
  before_ = nullptr;
  changes_.clear();
  {
    const std::lock_guard guard(finished->mutex_);
    if (finished->live_ == nullptr) return;
    take(*finished);
  }
  for (const auto& change : changes) apply(*change);
}

void CollectionFilters::take(const CollectionFilters& from) {
  live_ = from.live_;
  add_bytes(bytes_of(*live_));
  for (const Kept& kept : from.kept_) {
    if (kept.node == nullptr) continue;
    kept_.push_back(kept);
    places_[kept.condition] = std::prev(kept_.end());
    add_bytes(kept.bytes);
  }
  conditions_ = std::ssize(kept_);
}

void CollectionFilters::apply(const FilterChange& change) {
  std::uint64_t end = live_->rows->range().end;
  std::vector<RowRun> runs;
  std::vector<RowRun> first_rows;
  for (const FilterChange::Added& added : change.added) {
    end = std::max(end, added.rows.first + static_cast<std::uint64_t>(added.rows.count));
    runs.push_back(added.rows);
    first_rows.push_back({.first = added.rows.first, .count = 1});
  }
  const auto changed_set = [&](const RowSet& set, std::span<const RowRun> added) {
    return std::make_shared<const RowSet>(changed(set, end, change.removed_rows, added));
  };
  auto live = std::make_shared<LiveRows>();
  live->rows = changed_set(*live_->rows, runs);
  live->first_rows = changed_set(*live_->first_rows, first_rows);
  for (const LiveRows::Expiry& expiry : live_->expiries) {
    if (live->rows->contains(expiry.first_row_id)) live->expiries.push_back(expiry);
  }
  for (const FilterChange::Added& added : change.added) {
    if (const auto seconds = expiry_of(added.metadata)) {
      live->expiries.push_back({*seconds, added.rows.first, added.rows.count});
    }
  }
  std::sort(live->expiries.begin(), live->expiries.end(),
            [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  has_expiries_ = !live->expiries.empty();
  bytes_ -= bytes_of(*live_);
  add_bytes(bytes_of(*live));
  live_ = std::move(live);
  for (Kept& kept : kept_) {
    std::vector<RowRun> matching;
    for (const FilterChange::Added& added : change.added) {
      const bool is = matches(*kept.node, {added.key, added.title, added.metadata});
      if (is != kept.node->negated) matching.push_back(added.rows);
    }
    bytes_ -= kept.bytes;
    kept.bytes -= kept.set->memory_bytes();
    kept.set = changed_set(*kept.set, matching);
    kept.bytes += kept.set->memory_bytes();
    add_bytes(kept.bytes);
  }
}

bool CollectionFilters::in_use() {
  const std::lock_guard guard(mutex_);
  return before_ != nullptr || live_ != nullptr;
}

LiveRowsPointer CollectionFilters::live() {
  std::shared_ptr<CollectionFilters> finished;
  const std::lock_guard guard(mutex_);
  try {
    catch_up(finished);
  } catch (...) {
    // Half of the changes may be in the sets: they are read anew.
    drop_conditions();
    bytes_ = 0;
    live_ = nullptr;
    has_expiries_ = std::nullopt;
    throw;
  }
  return live_;
}

LiveRowsPointer CollectionFilters::put_live(LiveRowsPointer read) {
  {
    const std::lock_guard guard(mutex_);
    if (live_ != nullptr) return live_;
    live_ = read;
    has_expiries_ = !live_->expiries.empty();
    add_bytes(bytes_of(*live_));
  }
  budget_->shrink();
  return read;
}

RowSetPointer CollectionFilters::find(const std::string& condition, const LiveRowsPointer& live) {
  const std::lock_guard guard(mutex_);
  const auto found = live == live_ ? places_.find(condition) : places_.end();
  if (found == places_.end()) {
    ++budget_->misses_;
    return nullptr;
  }
  ++budget_->hits_;
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->set;
}

void CollectionFilters::put(const std::string& condition, RowSetPointer set,
                            const Filter::Node* node, const LiveRowsPointer& live) {
  {
    const std::lock_guard guard(mutex_);
    if (live != live_ || places_.contains(condition)) return;
    // The condition stands in the list and as the key of the map.
    const std::size_t bytes = sizeof(Kept) + set->memory_bytes() + 2 * condition.size();
    kept_.push_front({condition, std::move(set),
                      node == nullptr ? nullptr : std::make_shared<const Filter::Node>(*node),
                      bytes});
    try {
      places_[condition] = kept_.begin();
    } catch (...) {
      kept_.pop_front();
      throw;
    }
    add_bytes(bytes);
    ++conditions_;
  }
  budget_->shrink();
}

std::optional<bool> CollectionFilters::has_expiries() {
  const std::lock_guard guard(mutex_);
  return has_expiries_;
}

void CollectionFilters::put_has_expiries(bool has) {
  const std::lock_guard guard(mutex_);
  has_expiries_ = has;
}

void CollectionFilters::drop_conditions() {
  for (const Kept& kept : kept_) bytes_ -= kept.bytes;
  places_.clear();
  kept_.clear();
  conditions_ = 0;
}

bool CollectionFilters::drop_one(bool live_too) {
  if (!kept_.empty()) {
    bytes_ -= kept_.back().bytes;
    places_.erase(kept_.back().condition);
    kept_.pop_back();
    --conditions_;
    return true;
  }
  if (!live_too || live_ == nullptr) return false;
  bytes_ -= bytes_of(*live_);
  live_ = nullptr;
  return true;
}

}  // namespace nestor::query
