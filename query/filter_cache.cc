#include "query/filter_cache.h"

#include <utility>

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
  if (sequence > kept.sequence) drop(kept);
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
  usage_.bytes -= std::exchange(collection.live_bytes, 0);
  collection.live.reset();
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
                      const std::string& condition, RowSetPointer set) {
  const std::lock_guard guard(mutex_);
  PerCollection* const kept = level(collection, sequence);
  if (kept == nullptr || kept->conditions.contains(condition)) return;
  // The condition stands in the list and as the key of the map.
  const std::size_t bytes = sizeof(Kept) + set->memory_bytes() + 2 * condition.size();
  kept_.push_front({collection, condition, std::move(set), bytes});
  kept->conditions[condition] = kept_.begin();
  usage_.bytes += bytes;
  ++usage_.conditions;
  make_room();
}

// The live rows stay: without them no filter can be answered.
void FilterCache::make_room() {
  while (usage_.bytes > most_bytes_ && !kept_.empty()) {
    const Kept& oldest = kept_.back();
    usage_.bytes -= oldest.bytes;
    --usage_.conditions;
    collections_[oldest.collection].conditions.erase(oldest.condition);
    kept_.pop_back();
  }
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
