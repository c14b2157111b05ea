#include "query/database_context.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/cpu_features.h"
#include "core/log.h"
#include "core/macros.h"
#include "query/input_check.h"

namespace nestor::query {

using storage::Collection;

Result<EncoderPointer> EncoderSlot::get() {
  if (EncoderPointer known = loaded()) return known;
  const std::lock_guard one(loading_);
  if (EncoderPointer known = loaded()) return known;
  NESTOR_ASSIGN_OR_RETURN(EncoderPointer made, factory_());
  const std::lock_guard lock(mutex_);
  encoder_ = std::move(made);
  return encoder_;
}

EncoderPointer EncoderSlot::loaded() const {
  const std::lock_guard lock(mutex_);
  return encoder_;
}

std::int64_t EncoderSlot::file_bytes() const {
  const EncoderPointer encoder = loaded();
  if (encoder == nullptr) return 0;
  std::error_code error;
  const std::string& path = encoder->info().folder;
  if (!std::filesystem::is_regular_file(path, error)) return 0;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(bytes);
}

void DeferredWork::note(const std::string& what, const Status& why, const LogCallback& log) {
  {
    const std::lock_guard lock(mutex_);
    if (!why_.emplace(what, why.message()).second) return;
  }
  log_to(log, LogLevel::kWarning, why.message());
}

std::vector<std::string> DeferredWork::sentences() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [what, why] : why_) all.push_back(why);
  return all;
}

DatabaseContext::DatabaseContext(std::unique_ptr<storage::DocumentStore> opened,
                                 EncoderFactory factory, const OpenOptions& options,
                                 const MemoryBudget& divided)
    : budget(divided),
      log_callback(options.log),
      store(std::move(opened)),
      encoder(std::move(factory)),
      filter_budget(std::make_shared<FilterBudget>(static_cast<std::size_t>(divided.filter_sets),
                                                   divided.limited())),
      masks(static_cast<std::size_t>(divided.filter_masks)),
      keywords(static_cast<std::size_t>(divided.keyword_lists)),
      query_cache(static_cast<std::size_t>(divided.questions)),
      pool(useful_thread_count(options.embedder.thread_count)) {
  published.put(std::make_shared<DatabaseState>(DatabaseState{.view = store->view()}));
}

Result<std::optional<Collection>> DatabaseContext::find(const DatabaseState& state,
                                                        const std::string& name) const {
  if (const CollectionStatePointer known = state.find(name)) {
    return std::optional<Collection>(known->collection);
  }
  NESTOR_RETURN_IF_ERROR(check_collection_name(name));
  NESTOR_ASSIGN_OR_RETURN(auto found, store->find_collection(*state.view, name));
  if (found.has_value() || name == kDefaultCollection) return found;
  NESTOR_ASSIGN_OR_RETURN(const auto known, store->collections(*state.view));
  std::string names;
  for (const Collection& collection : known) names += (names.empty() ? "" : ", ") + collection.name;
  return Status(StatusCode::kNotFound, fmt::format("no collection '{}' in {}; there are: {}", name,
                                                   store->path(), names.empty() ? "none" : names));
}

Result<CollectionStatePointer> DatabaseContext::use(const StatePointer& state,
                                                    const std::string& name) {
  if (CollectionStatePointer known = state->find(name)) return known;
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*state, name));
  if (!found.has_value()) return CollectionStatePointer();
  auto made = std::make_shared<CollectionState>();
  made->collection = *found;
  made->filters = std::make_shared<CollectionFilters>(filter_budget);
  made->slot = slot_of(found->id);
  auto next = std::make_shared<DatabaseState>(*state);
  next->collections.emplace(name, made);
  // Where a writer or another reader was faster, the next call does it again.
  published.replace(state, std::move(next));
  return CollectionStatePointer(std::move(made));
}

std::shared_ptr<IndexSlot> DatabaseContext::slot_of(std::uint32_t collection_id) {
  const std::lock_guard lock(slots_mutex_);
  std::shared_ptr<IndexSlot>& slot = slots_[collection_id];
  if (slot == nullptr) slot = std::make_shared<IndexSlot>();
  return slot;
}

HeldSlot DatabaseContext::hold_slot(std::uint32_t collection_id) {
  for (;;) {
    HeldSlot held{.slot = slot_of(collection_id), .files = {}};
    held.files = std::unique_lock(held.slot->files);
    if (slot_of(collection_id) == held.slot) return held;  // else it was retired meanwhile
  }
}

void DatabaseContext::retire_slot(std::uint32_t collection_id, IndexSlot& slot) {
  slot.retired = true;
  const std::lock_guard lock(slots_mutex_);
  slots_.erase(collection_id);
}

void DatabaseContext::log(LogLevel level, const std::string& message) const {
  log_to(log_callback, level, message);
}

}  // namespace nestor::query
