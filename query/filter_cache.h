// What filters found in a collection, kept for the next search: the live rows and, for each
// condition met, the set of its rows. It holds for one sequence; what batches changed is noted, and
// the first search after them brings the sets level by asking the new documents alone. Where a
// batch was not noted, or too much came together, the cache begins anew. Threads: safe anywhere;
// sets are shared and never change.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
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

// What one batch changed in a collection.
struct FilterChange {
  std::uint64_t sequence_before = 0;  // of the collection
  std::uint64_t sequence = 0;
  std::vector<std::uint64_t> removed_rows;
  struct Added {
    std::string key;
    std::string title;
    Metadata metadata;
    RowRun rows;
  };
  std::vector<Added> added;
};

class FilterCache {
 public:
  // The sets of all collections together stay below this.
  // `strict`: live rows too, which otherwise stay, for without them no filter can be answered.
  explicit FilterCache(std::size_t most_bytes = std::size_t{64} << 20, bool strict = false)
      : most_bytes_(most_bytes), strict_(strict) {}

  // Nothing where the cache does not know it of that sequence.
  std::shared_ptr<const LiveRows> live_rows(std::uint32_t collection, std::uint64_t sequence);
  RowSetPointer find(std::uint32_t collection, std::uint64_t sequence,
                     const std::string& condition);
  // A newer sequence drops what is there of the older one; an older one is not kept.
  void put_live_rows(std::uint32_t collection, std::uint64_t sequence,
                     std::shared_ptr<const LiveRows> live);
  // `node`: the condition itself, to ask new documents with; null: the set goes with the next
  // batch.
  void put(std::uint32_t collection, std::uint64_t sequence, const std::string& condition,
           RowSetPointer set, const Filter::Node* node);
  // To be called once a batch is committed. Nothing is done before somebody asks.
  void note(std::uint32_t collection, FilterChange change);
  // Whether there is anything that a note would be for.
  [[nodiscard]] bool holds(std::uint32_t collection) const;
  void clear();
  // For reports: what the cache holds now, and how often a condition was in it or not.
  struct Usage {
    std::size_t bytes = 0;
    std::int64_t conditions = 0;
    std::int64_t hits = 0;
    std::int64_t misses = 0;
  };
  [[nodiscard]] Usage usage() const;

 private:
  struct Kept {
    std::uint32_t collection = 0;
    std::string condition;
    RowSetPointer set;
    std::shared_ptr<const Filter::Node> node;
    std::size_t bytes = 0;
  };
  struct PerCollection {
    std::uint64_t sequence = 0;
    std::shared_ptr<const LiveRows> live;
    std::size_t live_bytes = 0;
    std::unordered_map<std::string, std::list<Kept>::iterator> conditions;
    std::vector<FilterChange> changes;  // after `sequence`, each from where the one before ended
    std::size_t changed_count = 0;      // documents and rows in them
  };
  // With mutex_ held. Null where `sequence` is older than what is there.
  PerCollection* level(std::uint32_t collection, std::uint64_t sequence);
  void drop(PerCollection& collection);
  // False, and nothing has changed, where the changes do not lead to `sequence`.
  bool follow(PerCollection& collection, std::uint64_t sequence);
  void apply(PerCollection& collection, const FilterChange& change);
  void make_room();

  mutable std::mutex mutex_;
  const std::size_t most_bytes_;
  const bool strict_;
  std::map<std::uint32_t, PerCollection> collections_;
  std::list<Kept> kept_;  // the latest used first
  Usage usage_;
};

}  // namespace nestor::query
