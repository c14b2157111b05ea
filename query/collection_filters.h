// CollectionFilters: what filters found in one committed state of a collection, kept for the next
// search: the live rows and, for each condition met, the set of its rows. The filters of the next
// state begin with the sets of the one before and the batch in between; the first search brings the
// sets up to date by asking the documents of the batch alone.
//
// All sets of one object range over the same rows as its live rows, which are read once. A search
// holds on to the live rows that it began with and hands them to find() and put(), so sets of two
// readings never meet.
//
// FilterBudget: the bytes that the filters of a database may hold together.
// Threads: safe anywhere; sets are shared and never change.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/row_set.h"
#include "nestor/filter.h"

namespace nestor::query {

using RowSetPointer = std::shared_ptr<const RowSet>;

// The rows of one committed state.
struct LiveRows {
  RowSetPointer rows;
  RowSetPointer first_rows;  // of each document its first row: as many as there are documents
  struct Expiry {
    double seconds = 0;  // since 1970
    std::uint64_t first_row_id = 0;
    std::int64_t row_count = 0;
  };
  std::vector<Expiry> expiries;  // ascending
};
using LiveRowsPointer = std::shared_ptr<const LiveRows>;

// What one batch changed in a collection.
struct FilterChange {
  std::vector<std::uint64_t> removed_rows;
  struct Added {
    std::string key;
    std::string title;
    Metadata metadata;
    RowRun rows;
  };
  std::vector<Added> added;
  [[nodiscard]] std::size_t count() const { return removed_rows.size() + added.size(); }
};

class CollectionFilters;

class FilterBudget {
 public:
  // The sets of all collections together stay below this. `strict`: live rows too, which otherwise
  // stay, for without them no filter can be answered.
  explicit FilterBudget(std::size_t most_bytes = std::size_t{64} << 20, bool strict = false)
      : most_bytes_(most_bytes), strict_(strict) {}

  // For reports: what is held now, and how often a condition was found or not.
  struct Usage {
    std::size_t bytes = 0;
    std::int64_t conditions = 0;
    std::int64_t hits = 0;
    std::int64_t misses = 0;
  };
  [[nodiscard]] Usage usage() const;

 private:
  friend class CollectionFilters;
  void join(CollectionFilters& filters);
  void leave(CollectionFilters& filters);
  // Lets the collections with the most bytes drop sets until the limit is kept.
  void shrink();

  const std::size_t most_bytes_;
  const bool strict_;
  mutable std::mutex mutex_;  // guards members_; before that of a member
  std::set<CollectionFilters*> members_;
  std::atomic<std::int64_t> hits_{0};
  std::atomic<std::int64_t> misses_{0};
};

class CollectionFilters {
 public:
  // Of a state of which nothing is known. `budget` is shared by all of a database. Throws
  // std::bad_alloc.
  explicit CollectionFilters(std::shared_ptr<FilterBudget> budget);
  ~CollectionFilters();
  CollectionFilters(const CollectionFilters&) = delete;
  CollectionFilters& operator=(const CollectionFilters&) = delete;

  // Those of the state that `change` leads to. Nothing is computed before somebody asks. Throws
  // std::bad_alloc.
  static std::shared_ptr<CollectionFilters> after(const std::shared_ptr<CollectionFilters>& before,
                                                  FilterChange change);

  // Null: they have not been read yet.
  LiveRowsPointer live();
  // Of several readers the first one decides; returns what stays.
  LiveRowsPointer put_live(LiveRowsPointer read);
  // Null where the condition was not met yet, or belongs to other live rows than `live`.
  RowSetPointer find(const std::string& condition, const LiveRowsPointer& live);
  // `node`: the condition itself, to ask new documents with; null: the next state does without.
  // Nothing is kept where `live` are not the rows of live().
  void put(const std::string& condition, RowSetPointer set, const Filter::Node* node,
           const LiveRowsPointer& live);
  // Whether any document has an expiry, once it is known.
  std::optional<bool> has_expiries();
  void put_has_expiries(bool has);
  // Whether there is anything that the next state could go on from.
  [[nodiscard]] bool in_use();

 private:
  friend class FilterBudget;
  struct Kept {
    std::string condition;
    RowSetPointer set;
    std::shared_ptr<const Filter::Node> node;
    std::size_t bytes = 0;
  };
  // With mutex_ held: takes the sets of the state before, with the changes since then. What is not
  // needed any more goes into `finished`, to be let go without the mutex.
  void catch_up(std::shared_ptr<CollectionFilters>& finished);
  void take(const CollectionFilters& from);
  void apply(const FilterChange& change);
  void drop_conditions();
  // Drops the condition used longest ago; where there is none and `live_too`, the live rows. False:
  // there was nothing to drop.
  bool drop_one(bool live_too);
  void add_bytes(std::size_t bytes) { bytes_ += bytes; }

  const std::shared_ptr<FilterBudget> budget_;
  std::mutex mutex_;  // guards what follows but the atomics; a state's before that of an older one
  std::shared_ptr<CollectionFilters> before_;                 // whose sets are taken when asked
  std::vector<std::shared_ptr<const FilterChange>> changes_;  // since then, oldest first
  LiveRowsPointer live_;
  std::optional<bool> has_expiries_;
  std::list<Kept> kept_;  // the latest used first
  std::unordered_map<std::string, std::list<Kept>::iterator> places_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::int64_t> conditions_{0};
};

}  // namespace nestor::query
