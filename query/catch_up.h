// What a reader's index lacks after a refresh, read from the store before searches have to wait.
// Threads: free functions; nothing here changes the index.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "query/recovery.h"
#include "storage/document_store.h"

namespace nestor::query {

// Bringing `index` level: first remove, then add.
struct CatchUp {
  std::vector<std::uint64_t> removed;  // may name rows that the index never had
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;  // (ids, width)
};

// More rows than these (of 768 components: 50 MB) would keep searches waiting: loaded anew instead.
inline constexpr std::size_t kMostCatchUpRows = 16'384;

// From `before`, which `index` is level with, to `after` in `view`. Nothing where the journal does
// not reach back, too much has changed, or the index has outgrown what it was made for.
// Errors: those of reading the store.
Result<std::optional<CatchUp>> read_catch_up(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& before,
                                             const storage::Collection& after,
                                             const CollectionIndex& index,
                                             const IndexRoom& room = {});

// A reader's index made anew in memory: as load_index, and codes trained on what the collection is
// now. Errors: those of load_index.
Result<LoadedIndex> load_for_reader(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const storage::Collection& collection, const LogCallback& log,
                                    const IndexRoom& room = {});

}  // namespace nestor::query
