// RocksdbStore: what of RocksDB is in memory.
#include <algorithm>
#include <string>

#include "storage/rocksdb_store.h"

namespace nestor::storage {

DocumentStore::Memory RocksdbStore::memory() const {
  const std::shared_ptr<rocksdb::DB> db = this->db();
  const auto property = [&db](const std::string& name) {
    std::uint64_t value = 0;
    return db->GetIntProperty(name, &value) ? static_cast<std::int64_t>(value) : 0;
  };
  // Under a limit the buffers are charged to the cache: told apart here.
  const auto& buffers = db->GetDBOptions().write_buffer_manager;
  const auto charged =
      memory_bytes_ == 0 ? 0 : static_cast<std::int64_t>(buffers->dummy_entries_in_cache_usage());
  const std::int64_t cached = property(rocksdb::DB::Properties::kBlockCacheUsage);
  return {.block_cache = std::max<std::int64_t>(cached - charged, 0),
          .write_buffers = property(rocksdb::DB::Properties::kCurSizeAllMemTables),
          .table_readers = property(rocksdb::DB::Properties::kEstimateTableReadersMem)};
}

}  // namespace nestor::storage
