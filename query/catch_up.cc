#include "query/catch_up.h"

#include <algorithm>
#include <utility>

#include "core/macros.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

// Codes trained on a few rows search a grown collection badly, and only a writer trains in passing.
bool outgrown(const CollectionIndex& index, std::size_t new_rows, std::int64_t tail_rows) {
  if (index.wants_training()) return true;
  const CachedRows* const cached = index.rows();
  return cached != nullptr &&
         cached->rows.tail_count() + static_cast<std::int64_t>(new_rows) > tail_rows;
}

}  // namespace

Result<std::optional<CatchUp>> read_catch_up(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& before,
                                             const storage::Collection& after,
                                             const CollectionIndex& index, const IndexRoom& room) {
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
  const std::size_t most =
      std::min(kMostCatchUpRows,
               static_cast<std::size_t>(room.budget.tail_rows(after.width, after.passages)));
  const StoreSource source(store, view, after);
  NESTOR_RETURN_IF_ERROR(
      source.scan(changes->first_new_row_id, [&](std::uint64_t id, std::span<const float> row) {
        fits = missing.ids.size() < most;
        if (!fits) return false;
        missing.ids.push_back(id);
        missing.rows.insert(missing.rows.end(), row.begin(), row.end());
        return true;
      }));
  const std::int64_t tail_rows = room.budget.tail_rows(after.width, after.passages);
  if (!fits || outgrown(index, missing.ids.size(), tail_rows)) return anew;
  return std::optional<CatchUp>(std::move(missing));
}

Result<LoadedIndex> load_for_reader(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const storage::Collection& collection, const LogCallback& log,
                                    const IndexRoom& room) {
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded, load_index(store, view, collection, log, room));
  const IndexSize size{.row_count = collection.passages,
                       .train_rows = room.budget.train_rows(collection.width)};
  const auto both = [&](const MemoryBudget&) {
    return loaded.index->owned_bytes() + CollectionIndex::build_bytes(collection.width, true, size);
  };
  if (!loaded.index->wants_training() ||
      !room.fits(collection.name, "train the codes anew",
                 "the codes stay those of a smaller collection", both)) {
    return loaded;
  }
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(
      index::LadderIndex codes,
      index::LadderIndex::build(loaded.index->codes().shape(), source, size.train_rows));
  loaded.index->put_codes(std::move(codes));
  return loaded;
}

}  // namespace nestor::query
