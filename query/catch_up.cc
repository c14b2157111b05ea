#include "query/catch_up.h"

#include <utility>

#include "core/macros.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

// Codes trained on a few rows search a grown collection badly, and only a writer trains in passing.
bool outgrown(const CollectionIndex& index, std::size_t new_rows) {
  if (index.wants_training()) return true;
  const CachedRows* const cached = index.rows();
  return cached != nullptr &&
         cached->rows.tail_count() + static_cast<std::int64_t>(new_rows) > kMostTailRows;
}

}  // namespace

Result<std::optional<CatchUp>> read_catch_up(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& before,
                                             const storage::Collection& after,
                                             const CollectionIndex& index) {
  const std::optional<CatchUp> anew;
  if (before.id != after.id || before.width != after.width || before.space != after.space ||
      before.external != after.external) {
    return anew;
  }
  NESTOR_ASSIGN_OR_RETURN(auto changes,
                          store.changes_since(view, after, before.sequence, before.digest));
  if (!changes.has_value()) return anew;
  CatchUp missing{.removed = std::move(changes->removed_row_ids), .ids = {}, .rows = {}};
  bool fits = true;
  const StoreSource source(store, view, after);
  NESTOR_RETURN_IF_ERROR(
      source.scan(changes->first_new_row_id, [&](std::uint64_t id, std::span<const float> row) {
        fits = missing.ids.size() < kMostCatchUpRows;
        if (!fits) return false;
        missing.ids.push_back(id);
        missing.rows.insert(missing.rows.end(), row.begin(), row.end());
        return true;
      }));
  if (!fits || outgrown(index, missing.ids.size())) return anew;
  return std::optional<CatchUp>(std::move(missing));
}

Result<LoadedIndex> load_for_reader(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const storage::Collection& collection, const LogCallback& log) {
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded, load_index(store, view, collection, log));
  if (!loaded.index->wants_training()) return loaded;
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(index::LadderIndex codes,
                          index::LadderIndex::build(loaded.index->codes().shape(), source));
  loaded.index->put_codes(std::move(codes));
  return loaded;
}

}  // namespace nestor::query
