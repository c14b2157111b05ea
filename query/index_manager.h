// IndexManager: brings the indexes of collections into memory, renews what they outgrow and keeps
// their files. Everything long runs beside searches and writers: an index is built from one state
// of the store, brought up to date by the journal, and published for the newest state.
//
// Threads: safe anywhere. Searches of one collection wait for each other's loading of its index;
// nobody else waits for it.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "core/stop_check.h"
#include "nestor/status.h"
#include "query/database_context.h"

namespace nestor::query {

class IndexManager {
 public:
  // `list_rows`: codes are sorted into lists from so many vectors on.
  IndexManager(DatabaseContext& context, std::int64_t list_rows)
      : context_(context), list_rows_(list_rows) {}

  // The index of `entry`, a collection of `state`, which has full-precision prefixes of `dim`
  // dimensions too where that is not 0. Null where `state` is too old, because the index of a newer
  // one was loaded or the collection was erased meanwhile: the caller goes on with the newest
  // state. Errors: those of load_index and of `stop`, asked while another search loads it.
  Result<IndexPointer> get(const DatabaseState& state, const CollectionState& entry, int dim,
                           const StopCheck& stop);
  // The index of `entry` as far as it is in memory, or null.
  static IndexPointer in_memory(const CollectionState& entry);
  // What the budget leaves to the index of a collection; `beside` the one it has.
  [[nodiscard]] IndexRoom room_for(const std::string& name, bool beside = false);
  // Whether the index takes what `vectors` more would add to it. Errors: kOutOfMemory.
  Status check_room(const storage::Collection& grown, std::int64_t vectors);

  // To be called after each commit, with no lock held: renews what the collection has outgrown, and
  // sorts codes into lists in the background. A failure is a line in the log.
  void after_commit(const std::string& name);
  // Sorts the codes of a large collection into lists in the background, one at a time; nothing
  // where it is small or the handle is read-only.
  void start_lists(const std::string& name);
  // Ends what runs in the background.
  void stop();
  // Writes the files that are worth writing, of `changed` and of what is loaded. Nothing else may
  // run. Errors: those of reading the store and of writing.
  Status save(const std::set<std::string>& changed);

 private:
  Result<std::optional<LoadedIndex>> load(const DatabaseState& state, const CollectionState& entry,
                                          const IndexPointer& base,
                                          const storage::Collection& of_base, int dim,
                                          const StopCheck& stop);
  Status build_prefixes(const DatabaseState& state, const CollectionState& entry, int dim,
                        LoadedIndex& loaded);
  Status renew(const std::string& name);
  // Publishes `made`, which is of `of_state`, for the newest state. Dropped where the collection is
  // another one by now.
  Status publish(const std::string& name, LoadedIndex made, storage::Collection of_state);
  [[nodiscard]] bool lists_fit(const std::string& name, const CollectionIndex& index);
  Status build_lists(const std::string& name, const std::stop_token& stop);
  Status save_one(const std::string& name, const StatePointer& state);

  DatabaseContext& context_;
  const std::int64_t list_rows_;
  std::mutex lists_mutex_;  // guards list_builder_
  std::atomic<bool> building_lists_{false};
  std::jthread list_builder_;
};

}  // namespace nestor::query
