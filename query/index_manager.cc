#include "query/index_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <utility>

#include "core/macros.h"
#include "query/planner.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

// Waiting threads look at their deadline and stop token so often.
constexpr auto kTick = std::chrono::milliseconds(20);

using storage::Collection;

bool serves(const IndexPointer& index, int dim) {
  return index != nullptr && (dim == 0 || index->index.has_width(dim));
}

bool same_state(const Collection& a, const Collection& b) {
  return a.id == b.id && a.sequence == b.sequence;
}

// Ends the loading of a slot however it ends.
class Loading {
 public:
  explicit Loading(IndexSlot& slot) : slot_(slot) { slot_.loading = true; }
  ~Loading() {
    {
      const std::lock_guard lock(slot_.mutex);
      slot_.loading = false;
    }
    slot_.loaded.notify_all();
  }
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  IndexSlot& slot_;
};

}  // namespace

IndexPointer IndexManager::in_memory(const CollectionState& entry) {
  const std::lock_guard lock(entry.slot->mutex);
  // What was loaded last may have more prefixes.
  if (entry.slot->latest != nullptr && same_state(entry.slot->of_state, entry.collection)) {
    return entry.slot->latest;
  }
  return entry.index;
}

Result<IndexPointer> IndexManager::get(const DatabaseState& state, const CollectionState& entry,
                                       int dim, const StopCheck& stop) {
  if (serves(entry.index, dim)) return entry.index;
  IndexSlot& slot = *entry.slot;
  std::unique_lock lock(slot.mutex);
  for (;;) {
    const bool here = slot.latest != nullptr && slot.of_state.id == entry.collection.id;
    if (here && same_state(slot.of_state, entry.collection) && serves(slot.latest, dim)) {
      return slot.latest;
    }
    if (here && slot.of_state.sequence > entry.collection.sequence) return IndexPointer();
    if (!slot.loading) break;
    slot.loaded.wait_for(lock, kTick);
    NESTOR_RETURN_IF_ERROR(stop.check());
  }
  // What was loaded last may have other prefixes.
  const bool own = entry.index != nullptr &&
                   !(slot.latest != nullptr && same_state(slot.of_state, entry.collection));
  IndexPointer base = own ? entry.index : slot.latest;
  const Collection of_base = own ? entry.collection : slot.of_state;
  const Loading loading(slot);
  lock.unlock();
  NESTOR_ASSIGN_OR_RETURN(std::optional<LoadedIndex> made,
                          load(state, entry, base, of_base, dim, stop));
  if (!made.has_value()) return IndexPointer();
  auto loaded = std::make_shared<const LoadedIndex>(*std::move(made));
  Collection of_state = entry.collection;
  base.reset();
  lock.lock();
  if (slot.latest == nullptr || slot.of_state.sequence <= of_state.sequence) {
    slot.latest = loaded;
    slot.of_state = std::move(of_state);
  }
  lock.unlock();
  return IndexPointer(std::move(loaded));
}

// Nothing where the files of the collection were erased since `state`.
Result<std::optional<LoadedIndex>> IndexManager::load(const DatabaseState& state,
                                                      const CollectionState& entry,
                                                      const IndexPointer& base,
                                                      const Collection& of_base, int dim,
                                                      const StopCheck& stop) {
  const Collection& collection = entry.collection;
  const storage::DocumentStore& store = *context_.store;
  const IndexRoom room = room_for(collection.name);
  if (base != nullptr) {
    NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded, base->version());
    bool applied = same_state(of_base, collection);
    if (!applied) {
      NESTOR_ASSIGN_OR_RETURN(applied,
                              apply_journal(store, *state.view, of_base, collection, loaded, room));
    }
    if (applied) {
      NESTOR_RETURN_IF_ERROR(build_prefixes(state, entry, dim, loaded));
      return std::optional<LoadedIndex>(std::move(loaded));
    }
  }
  std::unique_lock files(entry.slot->files, std::defer_lock);
  while (!files.try_lock_for(kTick)) NESTOR_RETURN_IF_ERROR(stop.check());
  if (entry.slot->retired) return std::optional<LoadedIndex>();
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded,
                          load_index(store, *state.view, collection, context_.log_callback, room));
  NESTOR_RETURN_IF_ERROR(build_prefixes(state, entry, dim, loaded));
  return std::optional<LoadedIndex>(std::move(loaded));
}

Status IndexManager::build_prefixes(const DatabaseState& state, const CollectionState& entry,
                                    int dim, LoadedIndex& loaded) {
  if (dim == 0 || loaded.index.has_width(dim)) return {};
  const Collection& collection = entry.collection;
  NESTOR_RETURN_IF_ERROR(room_for(collection.name)
                             .check(collection.name,
                                    fmt::format("hold the first {} components of each row", dim),
                                    [&](const MemoryBudget&) {
                                      return loaded.index.owned_bytes() +
                                             index::CoarseIndex::bytes_of(dim, collection.passages);
                                    }));
  const StoreSource source(*context_.store, *state.view, collection);
  return loaded.index.build_width(dim, source);
}

IndexRoom IndexManager::room_for(const std::string& name, bool beside) {
  IndexRoom room{.budget = context_.budget,
                 .others = 0,
                 .pool = &context_.pool,
                 .hold_back = [this](const auto& what, const auto& why) {
                   context_.deferred.note(what, why, context_.log_callback);
                 }};
  if (!context_.budget.limited()) return room;
  const StatePointer state = context_.published.get();
  for (const auto& [other, entry] : state->collections) {
    if (!beside && other == name) continue;
    if (const IndexPointer index = in_memory(*entry)) room.others += index->index.owned_bytes();
  }
  return room;
}

Status IndexManager::check_room(const Collection& grown, std::int64_t vectors) {
  if (!context_.budget.limited() || vectors == 0) return {};
  const CollectionStatePointer entry = context_.published.get()->find(grown.name);
  const IndexPointer index = entry == nullptr ? nullptr : in_memory(*entry);
  return room_for(grown.name)
      .check(grown.name, fmt::format("index {} rows more", vectors),
             [&](const MemoryBudget& asked) {
               return index != nullptr
                          ? index->index.bytes_with(vectors)
                          : bytes_to_load(*context_.store, grown, grown.passages + vectors, asked);
             });
}

void IndexManager::after_commit(const std::string& name) {
  try {
    if (const Status renewed = renew(name); !renewed.ok()) {
      context_.log(LogLevel::kWarning, "the index stays as it was: " + renewed.message());
    }
    start_lists(name);
  } catch (const std::exception&) {
    // No memory for it: the next commit tries again.
  }
}

Status IndexManager::renew(const std::string& name) {
  if (context_.store->read_only()) return {};
  StatePointer state = context_.published.get();
  CollectionStatePointer entry = state->find(name);
  if (entry == nullptr) return {};
  IndexPointer index = in_memory(*entry);
  if (index == nullptr || !wants_renewal(*index, entry->collection, room_for(name))) return {};
  // Somebody who is at it already does it for all.
  const std::unique_lock files(entry->slot->files, std::try_to_lock);
  if (!files.owns_lock() || entry->slot->retired) return {};
  state = context_.published.get();
  entry = state->find(name);
  index = entry == nullptr ? nullptr : in_memory(*entry);
  if (index == nullptr) return {};
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex renewed, index->version());
  index.reset();
  NESTOR_RETURN_IF_ERROR(
      renew_index(*context_.store, *state->view, entry->collection, renewed, room_for(name)));
  return publish(name, std::move(renewed), entry->collection);
}

Status IndexManager::publish(const std::string& name, LoadedIndex made, Collection of_state) {
  // A writer that never pauses is held for the last few changes.
  constexpr int kMostTriesBeside = 8;
  for (int tries = 0;; ++tries) {
    std::unique_lock commit(context_.commit, std::defer_lock);
    if (tries >= kMostTriesBeside) commit.lock();
    StatePointer state = context_.published.get();
    CollectionStatePointer entry = state->find(name);
    if (entry == nullptr || entry->collection.id != of_state.id) return {};
    if (!same_state(entry->collection, of_state)) {
      NESTOR_ASSIGN_OR_RETURN(const bool applied,
                              apply_journal(*context_.store, *state->view, of_state,
                                            entry->collection, made, room_for(name)));
      if (!applied) return {};
      of_state = entry->collection;
    }
    auto index = std::make_shared<LoadedIndex>(std::move(made));
    auto changed = std::make_shared<CollectionState>(*entry);
    changed->index = index;
    auto next = std::make_shared<DatabaseState>(*state);
    next->collections[name] = std::move(changed);
    if (!commit.owns_lock()) commit.lock();
    const CollectionStatePointer now = context_.published.get()->find(name);
    if (now != nullptr && same_state(now->collection, of_state) &&
        context_.published.replace(state, std::move(next))) {
      const std::lock_guard slot(entry->slot->mutex);
      entry->slot->latest.reset();
      return {};
    }
    commit.unlock();
    made = std::move(*index);  // nobody else has seen it
  }
}

bool IndexManager::lists_fit(const std::string& name, const CollectionIndex& index) {
  return room_for(name).fits(
      name, "sort the codes into lists", "searches look through all codes, which is slower",
      [&](const MemoryBudget&) {
        return index.owned_bytes() +
               index::LadderIndex::list_bytes(index.codes().shape(), index.live_count());
      });
}

void IndexManager::start_lists(const std::string& name) {
  if (context_.store->read_only()) return;
  const CollectionStatePointer entry = context_.published.get()->find(name);
  const IndexPointer index = entry == nullptr ? nullptr : in_memory(*entry);
  if (index == nullptr || !index->index.has_codes() ||
      !index->index.codes().wants_lists(list_rows_) || !lists_fit(name, index->index)) {
    return;
  }
  const std::lock_guard lock(lists_mutex_);
  if (building_lists_.exchange(true)) return;
  // The one before has ended, or it would still be building.
  if (list_builder_.joinable()) list_builder_.join();
  try {
    list_builder_ = std::jthread([this, name](const std::stop_token& stop) {
      try {
        Status built;
        try {
          built = build_lists(name, stop);
        } catch (const std::exception& error) {
          built = Status(StatusCode::kOutOfMemory, error.what());
        }
        if (!built.ok() && built.code() != StatusCode::kCancelled) {
          context_.log(LogLevel::kWarning, "searches go on without lists: " + built.message());
        }
      } catch (const std::exception&) {
        // No memory even for the warning: the next commit tries again.
      }
      building_lists_ = false;
    });
  } catch (const std::exception&) {
    building_lists_ = false;  // no thread to be had: the next commit tries again
  }
}

Status IndexManager::build_lists(const std::string& name, const std::stop_token& stop) {
  CollectionStatePointer entry = context_.published.get()->find(name);
  IndexPointer before = entry == nullptr ? nullptr : in_memory(*entry);
  if (before == nullptr || !before->index.has_codes() || !lists_fit(name, before->index)) return {};
  const std::uint32_t id = entry->collection.id;
  NESTOR_ASSIGN_OR_RETURN(index::LadderIndex made,
                          index::LadderIndex::with_lists(before->index.codes(), {}, [&stop] {
                            return stop.stop_requested();
                          }));
  before.reset();
  // Only writers change codes: with them held out, what is read here is what is replaced.
  const std::lock_guard commit(context_.commit);
  for (;;) {
    const StatePointer state = context_.published.get();
    entry = state->find(name);
    if (entry == nullptr || entry->collection.id != id) return {};
    const IndexPointer now = in_memory(*entry);
    if (now == nullptr) return {};
    NESTOR_RETURN_IF_ERROR(made.catch_up(now->index.codes()));
    NESTOR_ASSIGN_OR_RETURN(LoadedIndex listed, now->version());
    NESTOR_ASSIGN_OR_RETURN(index::LadderIndex codes, made.version());
    listed.index.put_codes(std::move(codes));
    listed.caught_up_rows = entry->collection.passages;  // the file has no lists
    auto changed = std::make_shared<CollectionState>(*entry);
    changed->index = std::make_shared<LoadedIndex>(std::move(listed));
    auto next = std::make_shared<DatabaseState>(*state);
    next->collections[name] = std::move(changed);
    if (!context_.published.replace(state, std::move(next))) continue;  // a reader began to use one
    const std::lock_guard slot(entry->slot->mutex);
    entry->slot->latest.reset();
    return {};
  }
}

void IndexManager::stop() {
  const std::lock_guard lock(lists_mutex_);
  if (!list_builder_.joinable()) return;
  list_builder_.request_stop();
  list_builder_.join();
}

Status IndexManager::save(const std::set<std::string>& changed) {
  if (context_.store->read_only()) return {};
  std::set<std::string> names = changed;
  for (const auto& [name, entry] : context_.published.get()->collections) {
    if (in_memory(*entry) != nullptr) names.insert(name);
  }
  Status first;  // failure; the others are saved all the same
  for (const std::string& name : names) {
    Status saved = save_one(name, context_.published.get());
    if (first.ok()) first = std::move(saved);
  }
  return first;
}

Status IndexManager::save_one(const std::string& name, const StatePointer& state) {
  NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry, context_.use(state, name));
  if (entry == nullptr || entry->collection.passages == 0) return {};
  const Collection& collection = entry->collection;
  NESTOR_ASSIGN_OR_RETURN(
      const Plan plan, make_plan({}, collection.width, !collection.external, collection.passages));
  Result<IndexPointer> got = get(*state, *entry, plan.codes ? 0 : plan.coarse_width, {});
  if (context_.budget.limited() && got.status().code() == StatusCode::kOutOfMemory) {
    context_.deferred.note("index file of collection '" + name + "'", got.status(),
                           context_.log_callback);
    return {};
  }
  NESTOR_RETURN_IF_ERROR(got.status());
  IndexPointer index = std::move(got).value();
  if (index->index.has_codes() && index->index.codes().wants_lists(list_rows_) &&
      lists_fit(name, index->index)) {
    context_.log(LogLevel::kInfo, fmt::format("sorting {} passages of '{}' for faster searches",
                                              collection.passages, name));
    NESTOR_RETURN_IF_ERROR(build_lists(name, {}));
    const CollectionStatePointer listed = context_.published.get()->find(name);
    if (listed != nullptr) index = in_memory(*listed);
  }
  const std::lock_guard files(entry->slot->files);
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex saved, index->version());
  index.reset();
  NESTOR_RETURN_IF_ERROR(save_index(*context_.store, collection, saved, room_for(name)));
  if (!context_.budget.limited()) return {};
  // The next one may need the room.
  StatePointer without = context_.published.get();
  auto next = std::make_shared<DatabaseState>(*without);
  next->collections.erase(name);
  context_.published.put(std::move(next));
  const std::lock_guard slot(entry->slot->mutex);
  entry->slot->latest.reset();
  return {};
}

}  // namespace nestor::query
