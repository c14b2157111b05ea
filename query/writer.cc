#include "query/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <map>
#include <utility>

#include "core/macros.h"
#include "query/database_call.h"
#include "query/expiry.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "storage/shadow_collection.h"

namespace nestor::query {

using storage::Collection;
using storage::DocumentStore;

namespace {

// The index of the state after `commit`; that of the one before where no row came or went.
Result<IndexPointer> index_after(IndexPointer before, const storage::Commit& commit,
                                 const storage::Batch& batch) {
  if (before == nullptr || (commit.row_ids.empty() && commit.removed_row_ids.empty())) {
    return before;
  }
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex after, before->version());
  std::vector<float> rows;  // (ids, width)
  rows.reserve(commit.row_ids.size() * static_cast<std::size_t>(commit.collection.width));
  for (const storage::DocumentWrite& write : batch.writes) {
    for (const storage::Row& row : write.rows)
      rows.insert(rows.end(), row.vector.begin(), row.vector.end());
  }
  after.index.remove(commit.removed_row_ids);
  NESTOR_RETURN_IF_ERROR(after.index.add(commit.row_ids, rows));
  after.caught_up_rows += std::ssize(commit.row_ids) + std::ssize(commit.removed_row_ids);
  return IndexPointer(std::make_shared<const LoadedIndex>(std::move(after)));
}

std::shared_ptr<CollectionFilters> filters_after(const std::shared_ptr<CollectionFilters>& before,
                                                 const storage::Commit& commit,
                                                 const storage::Batch& batch,
                                                 const std::shared_ptr<FilterBudget>& budget) {
  // Metadata written over rows that stay is not followed: the filters begin anew.
  if (!batch.metadata_writes.empty()) return std::make_shared<CollectionFilters>(budget);
  FilterChange change{.removed_rows = commit.removed_row_ids, .added = {}};
  std::size_t row = 0;
  for (const storage::DocumentWrite& write : batch.writes) {
    change.added.push_back({.key = write.document.key,
                            .title = write.document.title,
                            .metadata = write.document.metadata,
                            .rows = {.first = commit.row_ids[row],
                                     .count = static_cast<std::int64_t>(write.rows.size())}});
    row += write.rows.size();
  }
  return CollectionFilters::after(before, std::move(change));
}

}  // namespace

std::unique_lock<std::mutex> Writer::lock(const std::string& collection) {
  std::unique_lock held(context_.commit);
  unpaused_.wait(held, [&] { return paused_.empty() || paused_ != collection; });
  return held;
}

Status Writer::check_writable(const char* done) const {
  if (!store_.read_only()) return {};
  return {StatusCode::kFailedPrecondition,
          fmt::format("{} was opened read-only; nothing can be {}", store_.path(), done)};
}

Result<storage::Commit> Writer::commit(const storage::Batch& batch) {
  return apply(store_.prepare(batch), batch.collection, &batch);
}

Result<storage::Commit> Writer::apply(Result<DocumentStore::PreparedPointer> prepared,
                                      const std::string& collection, const storage::Batch* batch) {
  NESTOR_RETURN_IF_ERROR(prepared.status());
  DocumentStore::PreparedCommit& change = *prepared.value();
  storage::Commit result = change.commit();
  if (change.empty()) return result;
  NESTOR_ASSIGN_OR_RETURN(StatePointer next, next_state(*context_.published.get(), result,
                                                        change.view(), collection, batch));
  const CollectionStatePointer entry = next->find(collection);
  if (!storage::is_shadow_name(collection)) changed_.insert(collection);
  NESTOR_RETURN_IF_ERROR(store_.apply(change));
  // Durable: from here on nothing fails.
  context_.published.put(std::move(next));
  ++commits_of_thread();
  if (entry != nullptr && entry->index != nullptr) {
    const std::lock_guard slot(entry->slot->mutex);
    entry->slot->latest.reset();
  }
  return result;
}

Result<StatePointer> Writer::next_state(const DatabaseState& now, const storage::Commit& commit,
                                        const DocumentStore::ViewPointer& view,
                                        const std::string& collection,
                                        const storage::Batch* batch) const {
  auto next = std::make_shared<DatabaseState>(now);
  next->view = view;
  const auto found = next->collections.find(collection);
  if (found == next->collections.end()) return StatePointer(std::move(next));
  const CollectionStatePointer before = found->second;
  if (before->collection.id != commit.collection.id) {  // another one has its name now
    next->collections.erase(found);
    return StatePointer(std::move(next));
  }
  auto after = std::make_shared<CollectionState>(*before);
  after->collection = commit.collection;
  after->index = IndexManager::in_memory(*before);
  if (batch != nullptr) {
    after->filters = filters_after(before->filters, commit, *batch, context_.filter_budget);
    NESTOR_ASSIGN_OR_RETURN(after->index, index_after(std::move(after->index), commit, *batch));
  }
  found->second = std::move(after);
  return StatePointer(std::move(next));
}

void Writer::remove_from_shadow(const storage::Commit& commit, const storage::Batch& batch) {
  if (batch.removals.empty()) return;
  try {
    const std::string name = storage::shadow_name(commit.collection);
    const auto shadow = store_.find_collection(*context_.published.get()->view, name);
    if (shadow.ok() && !shadow.value().has_value()) return;
    storage::Batch same;
    same.collection = name;
    same.removals = batch.removals;
    const Status removed = shadow.ok() ? this->commit(same).status() : shadow.status();
    if (removed.ok()) return;
    context_.log(LogLevel::kWarning,
                 "the reembed that was begun still holds what was removed, until it goes on: " +
                     removed.message());
  } catch (const std::exception&) {
    // No memory even for the warning; the next pass of the reembed removes it.
  }
}

Result<bool> Writer::create_collection(const storage::CollectionDescriptor& wanted) {
  const std::string& name = wanted.name;
  NESTOR_RETURN_IF_ERROR(check_descriptor(wanted));
  const auto held = lock(name);
  const StatePointer now = context_.published.get();
  NESTOR_ASSIGN_OR_RETURN(const auto found, store_.find_collection(*now->view, name));
  if (found.has_value()) {
    if (found->external == wanted.user_vectors &&
        (!wanted.user_vectors || found->width == wanted.dim) && found->metric == wanted.metric) {
      return false;
    }
    return Status(
        StatusCode::kAlreadyExists,
        fmt::format("collection '{}' exists and {}", name,
                    found->external ? fmt::format("keeps vectors of width {}, compared by {}",
                                                  found->width, metric_name(found->metric))
                                    : std::string("embeds its texts")));
  }
  NESTOR_RETURN_IF_ERROR(apply(store_.prepare_collection(wanted), name).status());
  return true;
}

Status Writer::build_postings(const Collection& collection) {
  const DocumentStore::ApplyFunction apply_batch =
      [&](DocumentStore::PreparedCommit& change) -> Status {
    NESTOR_ASSIGN_OR_RETURN(StatePointer next,
                            next_state(*context_.published.get(), change.commit(), change.view(),
                                       collection.name, nullptr));
    NESTOR_RETURN_IF_ERROR(store_.apply(change));
    context_.published.put(std::move(next));
    ++commits_of_thread();
    return {};
  };
  return query::build_postings(store_, collection, context_.log_callback, {}, apply_batch);
}

Status Writer::set_attribute(const std::string& collection, const std::string& name,
                             const std::string& value) {
  const bool language = name == kLanguageAttribute;
  if (language && !value.empty()) {
    NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const auto known, TextAnalyzer::make(value));
  }
  const auto held = lock(collection);
  NESTOR_ASSIGN_OR_RETURN(const auto found, context_.find(*context_.published.get(), collection));
  if (!found.has_value()) {
    storage::CollectionDescriptor wanted;
    wanted.name = collection;
    NESTOR_RETURN_IF_ERROR(apply(store_.prepare_collection(wanted), collection).status());
  } else if (const auto old = found->attributes.find(name);
             old == found->attributes.end() ? value.empty() : old->second == value) {
    return {};
  }
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit done,
                          apply(store_.prepare_attribute(collection, name, value), collection));
  return language ? build_postings(done.collection) : Status();
}

Status Writer::complete_postings() {
  if (store_.read_only()) return {};
  const std::lock_guard held(context_.commit);
  NESTOR_ASSIGN_OR_RETURN(const auto collections,
                          store_.collections(*context_.published.get()->view));
  for (const Collection& collection : collections) {
    NESTOR_RETURN_IF_ERROR(build_postings(collection));
  }
  return {};
}

Status Writer::add_removals(std::span<const std::string> keys, const DocumentStore::View& seen,
                            const std::optional<Collection>& collection,
                            storage::Batch& batch) const {
  for (const std::string& key : keys) NESTOR_RETURN_IF_ERROR(check_key(key));
  if (!collection.has_value()) return {};
  std::set<std::string> gone(keys.begin(), keys.end());
  for (const storage::DocumentWrite& write : batch.writes) gone.erase(write.document.key);
  for (const std::string& key : gone) {
    const auto document = store_.find_document(seen, collection->id, key);
    const bool damaged = document.status().code() == StatusCode::kDataLoss;
    if (!document.ok() && !damaged) return document.status();
    if (damaged || document.value().has_value()) batch.removals.push_back(key);
  }
  return {};
}

Status Writer::check_room(const storage::Batch& batch, const std::optional<Collection>& collection,
                          bool external) {
  std::int64_t vectors = 0;
  for (const storage::DocumentWrite& write : batch.writes) vectors += std::ssize(write.rows);
  Collection grown = collection.value_or(Collection());
  grown.name = batch.collection;
  grown.external = external;
  grown.width = batch.width;
  return indexes_.check_room(grown, vectors);
}

Result<AddReport> Writer::add(std::span<const Document> documents, const AddOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("added"));
  NESTOR_RETURN_IF_ERROR(check_collection_name(options.collection));
  for (const std::string& key : options.removals) NESTOR_RETURN_IF_ERROR(check_key(key));
  const auto read = [&]() -> Result<PreparedBatch> {
    const StatePointer state = context_.published.get();
    NESTOR_ASSIGN_OR_RETURN(const auto collection,
                            store_.find_collection(*state->view, options.collection));
    return read_batch(store_, *state->view, collection, documents, options,
                      [this] { return context_.encoder.get(); });
  };
  EmbeddedPassages embedded;  // what was embedded for a try that came too late is not lost
  for (;;) {
    NESTOR_ASSIGN_OR_RETURN(PreparedBatch prepared, read());
    NESTOR_RETURN_IF_ERROR(embed_batch(options, &embedded, prepared));
    NESTOR_RETURN_IF_ERROR(check_room(prepared.batch, prepared.seen.collection, prepared.external));
    auto held = lock(options.collection);
    const StatePointer now = context_.published.get();
    NESTOR_ASSIGN_OR_RETURN(const bool same,
                            still_as_seen(store_, *now->view, options.collection, prepared.seen));
    if (!same) continue;
    storage::Batch& batch = prepared.batch;
    NESTOR_RETURN_IF_ERROR(
        add_removals(options.removals, *now->view, prepared.seen.collection, batch));
    if (batch.writes.empty() && batch.removals.empty()) return prepared.report;
    if (prepared.collection_missing) {
      batch.create.emplace();
      batch.create->name = batch.collection;
      batch.create->dim = prepared.external ? batch.width : 0;
      batch.create->user_vectors = prepared.external;
    }
    NESTOR_ASSIGN_OR_RETURN(const storage::Commit done, commit(batch));
    remove_from_shadow(done, batch);
    held.unlock();
    indexes_.after_commit(options.collection);
    return prepared.report;
  }
}

Result<std::int64_t> Writer::remove(std::span<const std::string> keys,
                                    const RemoveOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("removed"));
  const auto batch_of = [&](const DocumentSource& newest) -> Result<storage::Batch> {
    storage::Batch batch;
    NESTOR_RETURN_IF_ERROR(add_removals(keys, newest.view, newest.collection, batch));
    return batch;
  };
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit done,
                          commit_function(options.collection)(batch_of));
  return and_erased(done.removed_documents, options);
}

CommitFunction Writer::commit_function(const std::string& collection) {
  return [this, collection](const BatchMaker& make) -> Result<storage::Commit> {
    auto held = lock(collection);
    const StatePointer now = context_.published.get();
    NESTOR_ASSIGN_OR_RETURN(const CollectionStatePointer entry, context_.use(now, collection));
    if (entry == nullptr) return storage::Commit();
    NESTOR_ASSIGN_OR_RETURN(storage::Batch batch, make({.store = store_,
                                                        .view = *now->view,
                                                        .collection = entry->collection,
                                                        .filters = *entry->filters,
                                                        .now = seconds_since_1970()}));
    batch.collection = collection;
    if (batch.removals.empty() && batch.metadata_writes.empty()) return storage::Commit();
    NESTOR_ASSIGN_OR_RETURN(storage::Commit done, commit(batch));
    remove_from_shadow(done, batch);
    held.unlock();
    indexes_.after_commit(collection);
    return done;
  };
}

Result<std::int64_t> Writer::remove_matching(const Filter& filter, const RemoveOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("changed"));
  if (filter.empty()) {
    return Status(StatusCode::kInvalidArgument,
                  "the filter says nothing and would remove every document; say which, or "
                  "`key exists` for all");
  }
  return and_erased(
      query::remove_matching(filter, commit_function(options.collection), options.stop), options);
}

Result<std::int64_t> Writer::remove_expired(const RemoveOptions& options) {
  NESTOR_RETURN_IF_ERROR(check_writable("changed"));
  return and_erased(sweep_expired(commit_function(options.collection), options.stop), options);
}

Result<std::int64_t> Writer::change_metadata(const std::vector<MetadataChange>& changes,
                                             const std::string& collection) {
  NESTOR_RETURN_IF_ERROR(check_writable("changed"));
  return query::change_metadata(changes, commit_function(collection));
}

}  // namespace nestor::query
