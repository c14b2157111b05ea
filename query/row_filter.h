// Which rows of a collection a search may find, by its filter and by what has expired; as a set for
// words and exact scores, and as a mask over the codes. MaskCache keeps the masks of the filters
// met last: making one costs a search by halves per row. Threads: safe anywhere.
#pragma once

#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "index/ladder_index.h"
#include "nestor/filter.h"
#include "query/filter_plan.h"
#include "storage/document_store.h"

namespace nestor::query {

// Nothing where every row may be found. `filters` of the same state as `view`. Errors: as
// find_matching_rows. Cost: nothing for an empty filter over a collection in which nothing expires.
Result<std::optional<MatchingRows>> rows_that_may_be_found(const storage::DocumentStore& store,
                                                           const storage::DocumentStore::View& view,
                                                           const storage::Collection& collection,
                                                           const Filter& filter,
                                                           CollectionFilters& filters);

class MaskCache {
 public:
  // Masks, with the sets that they are of, stay below so many bytes.
  explicit MaskCache(std::size_t most_bytes = std::numeric_limits<std::size_t>::max())
      : most_bytes_(most_bytes) {}

  // REQUIRES: `codes` of the same state as `rows`. Errors: kOutOfMemory.
  Result<std::shared_ptr<const index::LadderFilter>> mask_of(const RowSetPointer& rows,
                                                             const index::LadderIndex& codes);
  [[nodiscard]] std::size_t bytes() const;

 private:
  struct Mask {
    RowSetPointer rows;
    std::shared_ptr<const index::LadderFilter> mask;
  };
  static std::size_t bytes_of(const Mask& mask);

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  std::list<Mask> masks_;  // the latest used first
};

}  // namespace nestor::query
