// What a database holds in memory.
#include "core/macros.h"
#include "query/database_impl.h"

namespace nestor {

std::int64_t MemoryUsage::total() const {
  return index_codes + index_rows + filter_sets + filter_masks + keyword_lists + query_cache +
         block_cache + write_buffers + table_readers;
}

MemoryUsage Database::Impl::memory_usage() const {
  MemoryUsage usage;
  {
    const std::shared_lock lock(state);
    for (const auto& [name, index] : indexes) {
      const std::int64_t codes = index.loaded.index->code_bytes();
      usage.index_codes += codes;
      usage.index_rows += index.loaded.index->memory_bytes() - codes;
    }
  }
  usage.filter_sets = static_cast<std::int64_t>(filters.cache().usage().bytes);
  usage.filter_masks = static_cast<std::int64_t>(filters.mask_bytes());
  usage.keyword_lists = static_cast<std::int64_t>(keywords.cached_bytes());
  usage.query_cache = static_cast<std::int64_t>(question_cache->bytes());
  const storage::DocumentStore::Memory stored = store->memory();
  usage.block_cache = stored.block_cache;
  usage.write_buffers = stored.write_buffers;
  usage.table_readers = stored.table_readers;
  usage.model_file = model_file_bytes();
  return usage;
}

}  // namespace nestor
