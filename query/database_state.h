// DatabaseState: what searches read: one committed state of the store and, for each collection in
// use, its index and filters of the same sequence. A state never changes; a writer prepares the
// next one beside it and publishes that as one pointer.
//
// Threads: a state is read anywhere. PublishedState: safe anywhere; its mutex is held for a swap of
// pointers and never while anything is computed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "query/collection_filters.h"
#include "query/recovery.h"
#include "storage/document_store.h"

namespace nestor::query {

// Where the index of a collection is loaded, once for all searches that wait for it. Shared by all
// states of the collection; index_manager.h.
struct IndexSlot {
  std::mutex mutex;  // guards what follows but `files`; held for moments
  std::condition_variable_any loaded;
  bool loading = false;
  IndexPointer latest;           // the last one that was loaded here, or null
  storage::Collection of_state;  // that `latest` belongs to
  // Held by whoever writes or removes the collection's cache files; before DatabaseContext's
  // commit mutex.
  std::timed_mutex files;
  // The collection's files were erased: states with this slot write none any more. Guarded by
  // `files`.
  bool retired = false;
};

struct CollectionState {
  storage::Collection collection;
  IndexPointer index;  // null until a search or a writer has it loaded
  std::shared_ptr<CollectionFilters> filters;
  std::shared_ptr<IndexSlot> slot;
};
using CollectionStatePointer = std::shared_ptr<const CollectionState>;

struct DatabaseState {
  storage::DocumentStore::ViewPointer view;
  std::map<std::string, CollectionStatePointer> collections = {};  // those in use

  // Null where it is not in use.
  [[nodiscard]] CollectionStatePointer find(const std::string& name) const {
    const auto found = collections.find(name);
    return found == collections.end() ? nullptr : found->second;
  }
};
using StatePointer = std::shared_ptr<const DatabaseState>;

class PublishedState {
 public:
  [[nodiscard]] StatePointer get() const {
    const std::lock_guard guard(mutex_);
    return state_;
  }
  // Never fails. REQUIRES: the commit mutex held, or nobody beside it.
  void put(StatePointer next) noexcept {
    const std::lock_guard guard(mutex_);
    state_.swap(next);
  }
  // For additions by readers: false where another state was published since `expected`.
  bool replace(const StatePointer& expected, StatePointer next) noexcept {
    const std::lock_guard guard(mutex_);
    if (state_ != expected) return false;
    state_.swap(next);
    return true;
  }

 private:
  mutable std::mutex mutex_;
  StatePointer state_;
};

}  // namespace nestor::query
