#include "query/filter_cache.h"

#include <algorithm>
#include <utility>

#include "query/expiry.h"
#include "query/filter_match.h"
#include "query/filter_node.h"

namespace nestor::query {
namespace {

std::size_t bytes_of(const LiveRows& live) {
  return sizeof(LiveRows) + live.rows->memory_bytes() + live.first_rows->memory_bytes() +
         live.expiries.capacity() * sizeof(LiveRows::Expiry);
}

}  // namespace

FilterCache::PerCollection* FilterCache::level(std::uint32_t collection, std::uint64_t sequence) {
  PerCollection& kept = collections_[collection];
  if (sequence < kept.sequence) return nullptr;
  if (sequence > kept.sequence && !follow(kept, sequence)) drop(kept);
  kept.sequence = sequence;
  return &kept;
}

void FilterCache::drop(PerCollection& collection) {
  for (const auto& [condition, place] : collection.conditions) {
    usage_.bytes -= place->bytes;
    --usage_.conditions;
    kept_.erase(place);
  }
  collection.conditions.clear();
  collection.changes.clear();
  collection.changed_count = 0;
  usage_.bytes -= std::exchange(collection.live_bytes, 0);
  collection.live.reset();
}

void FilterCache::note(std::uint32_t collection, FilterChange change) {
  // More than that at once is quicker read from the index.
  constexpr std::size_t kMostNoted = 4096;
  const std::lock_guard guard(mutex_);
  const auto found = collections_.find(collection);
  if (found == collections_.end() || !found->second.live) return;
  PerCollection& kept = found->second;
  kept.changed_count += change.added.size() + change.removed_rows.size();
  if (kept.changed_count > kMostNoted) {
    drop(kept);
    return;
  }
  kept.changes.push_back(std::move(change));
}

bool FilterCache::holds(std::uint32_t collection) const {
  const std::lock_guard guard(mutex_);
  const auto found = collections_.find(collection);
  return found != collections_.end() && found->second.live != nullptr;
}

bool FilterCache::follow(PerCollection& kept, std::uint64_t sequence) {
  if (!kept.live) return false;
  std::uint64_t reached = kept.sequence;
  std::size_t count = 0;
  while (count < kept.changes.size() && reached < sequence &&
         kept.changes[count].sequence_before == reached) {
    reached = kept.changes[count++].sequence;
  }
  if (reached != sequence) return false;
  for (std::size_t i = 0; i < count; ++i) {
    apply(kept, kept.changes[i]);
    kept.changed_count -= kept.changes[i].added.size() + kept.changes[i].removed_rows.size();
  }
  kept.changes.erase(kept.changes.begin(),
                     kept.changes.begin() + static_cast<std::ptrdiff_t>(count));
  return true;
}

void FilterCache::apply(PerCollection& kept, const FilterChange& change) {
  std::uint64_t end = kept.live->rows->range().end;
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
  live->rows = changed_set(*kept.live->rows, runs);
  live->first_rows = changed_set(*kept.live->first_rows, first_rows);
  for (const LiveRows::Expiry& expiry : kept.live->expiries) {
    if (live->rows->contains(expiry.first_row_id)) live->expiries.push_back(expiry);
  }
  for (const FilterChange::Added& added : change.added) {
    if (const auto seconds = expiry_of(added.metadata)) {
      live->expiries.push_back({*seconds, added.rows.first, added.rows.count});
    }
  }
  std::sort(live->expiries.begin(), live->expiries.end(),
            [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  usage_.bytes -= kept.live_bytes;
  kept.live_bytes = bytes_of(*live);
  usage_.bytes += kept.live_bytes;
  kept.live = std::move(live);
  for (auto each = kept.conditions.begin(); each != kept.conditions.end();) {
    const auto place = each->second;
    usage_.bytes -= place->bytes;
    if (place->node == nullptr) {
      --usage_.conditions;
      kept_.erase(place);
      each = kept.conditions.erase(each);
      continue;
    }
    std::vector<RowRun> matching;
    for (const FilterChange::Added& added : change.added) {
      const bool is = matches(*place->node, {added.key, added.title, added.metadata});
      if (is != place->node->negated) matching.push_back(added.rows);
    }
    place->bytes -= place->set->memory_bytes();
    place->set = changed_set(*place->set, matching);
    place->bytes += place->set->memory_bytes();
    usage_.bytes += place->bytes;
    ++each;
  }
}

std::shared_ptr<const LiveRows> FilterCache::live_rows(std::uint32_t collection,
                                                       std::uint64_t sequence) {
  const std::lock_guard guard(mutex_);
  const PerCollection* const kept = level(collection, sequence);
  return kept == nullptr ? nullptr : kept->live;
}

RowSetPointer FilterCache::find(std::uint32_t collection, std::uint64_t sequence,
                                const std::string& condition) {
  const std::lock_guard guard(mutex_);
  PerCollection* const kept = level(collection, sequence);
  if (kept == nullptr) return nullptr;
  const auto found = kept->conditions.find(condition);
  if (found == kept->conditions.end()) {
    ++usage_.misses;
    return nullptr;
  }
  ++usage_.hits;
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->set;
}

void FilterCache::put_live_rows(std::uint32_t collection, std::uint64_t sequence,
                                std::shared_ptr<const LiveRows> live) {
  const std::lock_guard guard(mutex_);
  PerCollection* const kept = level(collection, sequence);
  if (kept == nullptr || kept->live) return;
  kept->live_bytes = bytes_of(*live);
  kept->live = std::move(live);
  usage_.bytes += kept->live_bytes;
  make_room();
}

void FilterCache::put(std::uint32_t collection, std::uint64_t sequence,
                      const std::string& condition, RowSetPointer set, const Filter::Node* node) {
  const std::lock_guard guard(mutex_);
  PerCollection* const kept = level(collection, sequence);
  if (kept == nullptr || kept->conditions.contains(condition)) return;
  // The condition stands in the list and as the key of the map.
  const std::size_t bytes = sizeof(Kept) + set->memory_bytes() + 2 * condition.size();
  kept_.push_front({collection, condition, std::move(set),
                    node == nullptr ? nullptr : std::make_shared<const Filter::Node>(*node),
                    bytes});
  kept->conditions[condition] = kept_.begin();
  usage_.bytes += bytes;
  ++usage_.conditions;
  make_room();
}

void FilterCache::make_room() {
  while (usage_.bytes > most_bytes_ && !kept_.empty()) {
    const Kept& oldest = kept_.back();
    usage_.bytes -= oldest.bytes;
    --usage_.conditions;
    collections_[oldest.collection].conditions.erase(oldest.condition);
    kept_.pop_back();
  }
  if (!strict_ || usage_.bytes <= most_bytes_) return;
  for (auto& [id, kept] : collections_) drop(kept);
}

void FilterCache::clear() {
  const std::lock_guard guard(mutex_);
  for (auto& [id, kept] : collections_) drop(kept);
  collections_.clear();
}

FilterCache::Usage FilterCache::usage() const {
  const std::lock_guard guard(mutex_);
  return usage_;
}

}  // namespace nestor::query
