// RocksdbStore's reads of terms and their postings.
#include "storage/rocksdb_store.h"
#include "storage/term_index.h"

namespace nestor::storage {

Result<TermTotals> RocksdbStore::term_totals(const View& view, const Collection& collection) const {
  return guarded([&]() -> Result<TermTotals> {
    Result<TermTotals> totals = read_term_totals(at(view), collection.id);
    if (!totals.ok()) return totals.status().with_context("collection '" + collection.name + "'");
    return totals;
  });
}

Status RocksdbStore::scan_postings(const View& view, const Collection& collection,
                                   std::string_view term, TermForms forms,
                                   std::uint64_t first_row_id,
                                   const std::function<void(const Posting&)>& visit) const {
  return guarded([&]() -> Status {
    return storage::scan_postings(at(view), collection.id, term, forms, first_row_id, visit)
        .with_context("collection '" + collection.name + "'");
  });
}

Status RocksdbStore::scan_terms(const View& view, const Collection& collection,
                                std::string_view prefix,
                                const std::function<void(std::string_view term)>& visit) const {
  return guarded([&]() -> Status {
    return storage::scan_terms(at(view), collection.id, prefix, visit)
        .with_context("collection '" + collection.name + "'");
  });
}

}  // namespace nestor::storage
