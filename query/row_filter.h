// RowFilters: which rows of a collection a search may find, by its filter and by what has expired;
// as a set for words and exact scores, and as a mask over the codes. Masks are kept for the filters
// met last: making one costs a search by halves a row.
// Threads: safe anywhere.
#pragma once

#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "index/ladder_index.h"
#include "nestor/filter.h"
#include "query/filter_plan.h"
#include "storage/document_store.h"

namespace nestor::query {

class RowFilters {
 public:
  RowFilters() = default;
  // Sets and masks below so many bytes each; the masks with the sets that they are of.
  RowFilters(std::size_t set_bytes, bool strict, std::size_t mask_bytes)
      : cache_(set_bytes, strict), most_mask_bytes_(mask_bytes) {}

  // Nothing where every row may be found. Errors: as find_matching_rows.
  // Cost: nothing for an empty filter over a collection in which nothing expires.
  Result<std::optional<MatchingRows>> rows_of(const storage::DocumentStore& store,
                                              const storage::DocumentStore::View& view,
                                              const storage::Collection& collection,
                                              const Filter& filter);
  // REQUIRES: `codes` level with the collection that `rows` are of. Errors: kOutOfMemory.
  Result<std::shared_ptr<const index::LadderFilter>> mask_of(const storage::Collection& collection,
                                                             const RowSetPointer& rows,
                                                             const index::LadderIndex& codes);
  [[nodiscard]] FilterCache& cache() { return cache_; }
  [[nodiscard]] std::size_t mask_bytes() const;

 private:
  struct Mask {
    std::uint32_t collection = 0;
    RowSetPointer rows;
    std::shared_ptr<const index::LadderFilter> mask;
  };
  // Whether any document may end at all, so that nobody else pays for it.
  Result<bool> something_expires(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view,
                                 const storage::Collection& collection);

  struct Expires {
    std::uint64_t sequence = 0;
    bool something = false;
  };
  static std::size_t bytes_of(const Mask& mask);

  FilterCache cache_;
  const std::size_t most_mask_bytes_ = std::numeric_limits<std::size_t>::max();
  mutable std::mutex mutex_;
  std::map<std::uint32_t, Expires> expires_;  // by collection
  std::list<Mask> masks_;                     // the latest used first
};

}  // namespace nestor::query
