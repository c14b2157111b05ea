// RocksdbStore's reads of what is derived from documents and rows: the field index and the content
// index.
#include "core/macros.h"
#include "storage/content_index.h"
#include "storage/field_index.h"
#include "storage/rocksdb_store.h"

namespace nestor::storage {

Result<bool> RocksdbStore::has_field_index(const View& view, std::uint32_t collection) const {
  return guarded([&]() -> Result<bool> {
    Result<bool> complete = is_field_index_complete(at(view), collection);
    if (!complete.ok()) return named(complete.status(), view, collection);
    return complete;
  });
}

Status RocksdbStore::scan_field(const View& view, const FieldRange& range,
                                const FieldVisitor& visit) const {
  return guarded([&]() -> Status { return scan_field_index(at(view), range, visit); });
}

Result<std::vector<std::string>> RocksdbStore::field_names(const View& view,
                                                           std::uint32_t collection,
                                                           std::size_t limit) const {
  return guarded([&]() -> Result<std::vector<std::string>> {
    return read_field_names(at(view), collection, limit);
  });
}

Result<std::vector<std::uint64_t>> RocksdbStore::rows_of_content(const View& view,
                                                                 const Collection& collection,
                                                                 const Hash128& content,
                                                                 NumericMode mode,
                                                                 std::size_t limit) const {
  return guarded([&]() -> Result<std::vector<std::uint64_t>> {
    auto ids =
        storage::rows_of_content(at(view), collection.id, content_bytes(content, mode), limit);
    if (!ids.ok()) return ids.status().with_context("collection '" + collection.name + "'");
    return ids;
  });
}

}  // namespace nestor::storage
