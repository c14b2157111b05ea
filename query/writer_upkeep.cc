// The writer's compaction and erasure.
#include <fmt/format.h>

#include <utility>

#include "core/macros.h"
#include "query/cache_check.h"
#include "query/writer.h"

namespace nestor::query {

Result<CompactReport> Writer::compact() {
  CompactReport report{.bytes_before = store_.disk_bytes()};
  NESTOR_RETURN_IF_ERROR(store_.compact(context_.commit));
  report.bytes_after = store_.disk_bytes();
  return report;
}

void Writer::retire(const storage::Collection& collection, IndexSlot& slot) {
  auto next = std::make_shared<DatabaseState>(*context_.published.get());
  next->collections.erase(collection.name);
  // Before the state is published: no reader puts the old slot into the new state.
  context_.retire_slot(collection.id, slot);
  context_.published.put(std::move(next));
  const std::lock_guard lock(slot.mutex);
  slot.latest.reset();
}

// The index is made anew from what is left, codes and all.
Status Writer::erase_removed(const std::string& collection) {
  NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry,
                          context_.use(context_.published.get(), collection));
  if (entry != nullptr) {
    const HeldSlot slot = context_.hold_slot(entry->collection.id);
    {
      // Not lock(): a reembed that has paused the changes of the collection waits for these files.
      // The store is not changed here.
      const std::lock_guard held(context_.commit);
      retire(entry->collection, *slot.slot);
      changed_.erase(collection);
    }
    remove_caches(store_, entry->collection);
  }
  return store_.compact(context_.commit);
}

Result<std::int64_t> Writer::and_erased(Result<std::int64_t> removed,
                                        const RemoveOptions& options) {
  if (!removed.ok() || !options.erase) return removed;
  if (const Status erased = erase_removed(options.collection); !erased.ok()) {
    return erased.with_context(fmt::format(
        "{} documents are removed, but not erased yet; call again with erase", removed.value()));
  }
  return removed;
}

}  // namespace nestor::query
