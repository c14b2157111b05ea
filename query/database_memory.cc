// What a database holds in memory.
#include <fmt/format.h>

#include "core/log.h"
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
      usage.mapped_codes += index.loaded.index->mapped_bytes();
      usage.mapped_rows += index.loaded.index->mapped_row_bytes();
    }
  }
  {
    const std::lock_guard lock(held_back_mutex_);
    for (const auto& [what, why] : held_back_) usage.held_back.push_back(why);
  }
  usage.budget = budget.total;
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

query::IndexRoom Database::Impl::room_for(const std::string& name, bool beside) const {
  query::IndexRoom room{
      .budget = budget,
      .others = 0,
      .pool = &search_pool(),
      .hold_back = [this](const auto& what, const Status& why) { hold_back(what, why); }};
  if (!budget.limited()) return room;
  for (const auto& [other, index] : indexes) {
    if (beside || other != name) room.others += index.loaded.index->owned_bytes();
  }
  return room;
}

Status Database::Impl::check_room(const storage::Batch& batch,
                                  const std::optional<storage::Collection>& collection,
                                  bool external) const {
  if (!budget.limited()) return {};
  std::int64_t rows = 0;
  for (const storage::DocumentWrite& write : batch.writes) rows += std::ssize(write.rows);
  if (rows == 0) return {};
  storage::Collection grown = collection.value_or(storage::Collection());
  grown.external = external;
  grown.width = batch.width;
  const std::shared_lock lock(state);
  const auto found = indexes.find(batch.collection);
  return room_for(batch.collection)
      .check(batch.collection, fmt::format("index {} rows more", rows),
             [&](const query::MemoryBudget& asked) {
               return found != indexes.end()
                          ? found->second.loaded.index->bytes_with(rows)
                          : query::bytes_to_load(*store, grown, grown.passages + rows, asked);
             });
}

void Database::Impl::hold_back(const std::string& what, const Status& why) const {
  {
    const std::lock_guard lock(held_back_mutex_);
    if (!held_back_.emplace(what, why.message()).second) return;
  }
  log_to(log, LogLevel::kWarning, why.message());
}

}  // namespace nestor
