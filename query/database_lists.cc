// Database::Impl's upkeep of large collections: their codes sorted into lists beside searches and
// writers (index/ladder_index.h).
#include <optional>
#include <utility>

#include "core/log.h"
#include "core/macros.h"
#include "query/database_impl.h"

namespace nestor {

bool Database::Impl::lists_fit(const std::string& name, const LevelIndex& index) const {
  return room_for(name).fits(
      name, "sort the codes into lists", "searches look through all codes, which is slower",
      [&](const query::MemoryBudget&) {
        const query::CollectionIndex& sorted = *index.loaded.index;
        return sorted.owned_bytes() +
               index::LadderIndex::list_bytes(sorted.codes().shape(), sorted.live_count());
      });
}

void Database::Impl::start_lists(const std::string& name) const {
  if (store->read_only()) return;
  {
    const std::shared_lock lock(state);
    const auto found = indexes.find(name);
    if (found == indexes.end() || !found->second.loaded.index->has_codes() ||
        !found->second.loaded.index->codes().wants_lists(list_rows) ||
        !lists_fit(name, found->second)) {
      return;
    }
  }
  const std::lock_guard lock(lists_mutex_);
  if (building_lists_.exchange(true)) return;
  // The one before has ended, or it would still be building.
  if (list_builder_.joinable()) list_builder_.join();
  list_builder_ = std::jthread([this, name](const std::stop_token& stop) {
    const Status built = build_lists(name, stop);
    if (!built.ok() && built.code() != StatusCode::kCancelled) {
      log_to(log, LogLevel::kWarning, "searches go on without lists: " + built.message());
    }
    building_lists_ = false;
  });
}

Status Database::Impl::build_lists(const std::string& name, const std::stop_token& stop) const {
  std::optional<index::LadderIndex> snapshot;
  std::uint32_t id = 0;  // a reembed may put another collection in this one's place
  {
    const std::shared_lock lock(state);
    const auto found = indexes.find(name);
    if (found == indexes.end() || !lists_fit(name, found->second)) return {};
    id = found->second.collection.id;
    NESTOR_ASSIGN_OR_RETURN(snapshot, found->second.loaded.index->codes().snapshot());
  }
  NESTOR_ASSIGN_OR_RETURN(
      index::LadderIndex made,
      index::LadderIndex::with_lists(*snapshot, {}, [&stop] { return stop.stop_requested(); }));
  snapshot.reset();
  // Only writers change codes: with them held out, what is read here is what is replaced.
  const std::lock_guard writer(writing);
  {
    const std::shared_lock lock(state);
    const auto found = indexes.find(name);
    if (found == indexes.end() || found->second.collection.id != id) return {};
    NESTOR_RETURN_IF_ERROR(made.catch_up(found->second.loaded.index->codes()));
  }
  const std::unique_lock lock(state);
  const auto found = indexes.find(name);
  if (found == indexes.end() || found->second.collection.id != id) return {};
  found->second.loaded.index->put_codes(std::move(made));
  found->second.loaded.caught_up_rows = found->second.collection.passages;  // the file has no lists
  return {};
}

}  // namespace nestor
