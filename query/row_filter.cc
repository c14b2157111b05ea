#include "query/row_filter.h"

#include <algorithm>

#include "core/macros.h"
#include "query/expiry.h"

namespace nestor::query {
namespace {

constexpr std::size_t kMostMasks = 32;

}  // namespace

Result<bool> RowFilters::something_expires(const storage::DocumentStore& store,
                                           const storage::DocumentStore::View& view,
                                           const storage::Collection& collection) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = expires_.find(collection.id);
    if (known != expires_.end() && known->second.sequence == collection.sequence) {
      return known->second.something;
    }
  }
  bool found = false;
  NESTOR_RETURN_IF_ERROR(
      store.scan_field(view,
                       storage::whole_kind({collection.id, false, kExpiresAtField},
                                           storage::FieldKind::kNumber, false),
                       [&](const storage::FieldEntry&) {
                         found = true;
                         return false;
                       }));
  const std::lock_guard lock(mutex_);
  expires_[collection.id] = {collection.sequence, found};
  return found;
}

Result<std::optional<MatchingRows>> RowFilters::rows_of(const storage::DocumentStore& store,
                                                        const storage::DocumentStore::View& view,
                                                        const storage::Collection& collection,
                                                        const Filter& filter) {
  if (filter.empty()) {
    NESTOR_ASSIGN_OR_RETURN(const bool expires, something_expires(store, view, collection));
    if (!expires) return std::optional<MatchingRows>();
  }
  NESTOR_ASSIGN_OR_RETURN(MatchingRows matching, find_matching_rows(store, view, collection, filter,
                                                                    seconds_since_1970(), cache_));
  if (matching.everything) return std::optional<MatchingRows>();
  return std::optional<MatchingRows>(std::move(matching));
}

Result<std::shared_ptr<const index::LadderFilter>> RowFilters::mask_of(
    const storage::Collection& collection, const RowSetPointer& rows,
    const index::LadderIndex& codes) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(masks_.begin(), masks_.end(), [&](const Mask& mask) {
      return mask.collection == collection.id && mask.mask->generation == codes.generation() &&
             (mask.rows == rows || *mask.rows == *rows);
    });
    if (known != masks_.end()) {
      masks_.splice(masks_.begin(), masks_, known);
      return masks_.front().mask;
    }
  }
  NESTOR_ASSIGN_OR_RETURN(index::LadderFilter made, codes.filter(rows->to_ids()));
  auto mask = std::make_shared<const index::LadderFilter>(std::move(made));
  const std::lock_guard lock(mutex_);
  masks_.push_front({collection.id, rows, mask});
  if (masks_.size() > kMostMasks) masks_.pop_back();
  std::size_t bytes = 0;
  for (const Mask& each : masks_) bytes += bytes_of(each) + each.rows->memory_bytes();
  while (bytes > most_mask_bytes_ && !masks_.empty()) {
    bytes -= bytes_of(masks_.back()) + masks_.back().rows->memory_bytes();
    masks_.pop_back();
  }
  return mask;
}

std::size_t RowFilters::bytes_of(const Mask& mask) {
  return sizeof(Mask) + sizeof(index::LadderFilter) + mask.mask->words.capacity() * 8;
}

std::size_t RowFilters::mask_bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const Mask& mask : masks_) bytes += bytes_of(mask);
  return bytes;
}

}  // namespace nestor::query
