#include "query/row_filter.h"

#include <algorithm>

#include "core/macros.h"
#include "query/expiry.h"

namespace nestor::query {
namespace {

constexpr std::size_t kMostMasks = 32;

// Whether any document has an expiry at all, so that nobody else pays for it.
Result<bool> something_expires(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, CollectionFilters& filters) {
  if (const std::optional<bool> known = filters.has_expiries()) return *known;
  bool found = false;
  NESTOR_RETURN_IF_ERROR(
      store.scan_field(view,
                       storage::whole_kind({collection.id, false, kExpiresAtField},
                                           storage::FieldKind::kNumber, false),
                       [&](const storage::FieldEntry&) {
                         found = true;
                         return false;
                       }));
  filters.put_has_expiries(found);
  return found;
}

}  // namespace

Result<std::optional<MatchingRows>> rows_that_may_be_found(const storage::DocumentStore& store,
                                                           const storage::DocumentStore::View& view,
                                                           const storage::Collection& collection,
                                                           const Filter& filter,
                                                           CollectionFilters& filters) {
  if (filter.empty()) {
    NESTOR_ASSIGN_OR_RETURN(const bool expires,
                            something_expires(store, view, collection, filters));
    if (!expires) return std::optional<MatchingRows>();
  }
  NESTOR_ASSIGN_OR_RETURN(MatchingRows matching, find_matching_rows(store, view, collection, filter,
                                                                    seconds_since_1970(), filters));
  if (matching.everything) return std::optional<MatchingRows>();
  return std::optional<MatchingRows>(std::move(matching));
}

Result<std::shared_ptr<const index::LadderFilter>> MaskCache::mask_of(
    const RowSetPointer& rows, const index::LadderIndex& codes) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(masks_.begin(), masks_.end(), [&](const Mask& mask) {
      return mask.mask->generation == codes.generation() &&
             (mask.rows == rows || *mask.rows == *rows);
    });
    if (known != masks_.end()) {
      masks_.splice(masks_.begin(), masks_, known);
      return masks_.front().mask;
    }
  }
  NESTOR_ASSIGN_OR_RETURN(index::LadderFilter made, codes.filter(rows->to_ids()));
  auto mask = std::make_shared<const index::LadderFilter>(std::move(made));
  std::list<Mask> dropped;  // freed without the mutex
  const std::lock_guard lock(mutex_);
  masks_.push_front({rows, mask});
  std::size_t bytes = 0;
  for (const Mask& each : masks_) bytes += bytes_of(each) + each.rows->memory_bytes();
  while (!masks_.empty() && (bytes > most_bytes_ || masks_.size() > kMostMasks)) {
    bytes -= bytes_of(masks_.back()) + masks_.back().rows->memory_bytes();
    dropped.splice(dropped.end(), masks_, std::prev(masks_.end()));
  }
  return mask;
}

std::size_t MaskCache::bytes_of(const Mask& mask) {
  return sizeof(Mask) + sizeof(index::LadderFilter) + mask.mask->words.capacity() * 8;
}

std::size_t MaskCache::bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t bytes = 0;
  for (const Mask& mask : masks_) bytes += bytes_of(mask);
  return bytes;
}

}  // namespace nestor::query
