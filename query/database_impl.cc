#include "query/database_impl.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "core/text.h"
#include "query/input_check.h"
#include "query/passage_terms.h"
#include "query/planner.h"
#include "query/stopwatch.h"
#include "query/store_source.h"

namespace nestor {

using storage::Collection;
using ViewPointer = storage::DocumentStore::ViewPointer;

Database::Impl::Impl(std::unique_ptr<storage::DocumentStore> opened, query::EncoderFactory factory,
                     const OpenOptions& options, const query::MemoryBudget& divided)
    : owner(::getpid()),
      budget(divided),
      log(options.log),
      store(std::move(opened)),
      view(store->view()),
      filters(static_cast<std::size_t>(divided.filter_sets), divided.limited(),
              static_cast<std::size_t>(divided.filter_masks)),
      keywords(static_cast<std::size_t>(divided.keyword_lists)),
      question_cache(
          std::make_unique<query::QuestionCache>(static_cast<std::size_t>(divided.questions))),
      encoder_factory_(std::move(factory)) {}

Database::Impl::~Impl() {
  if (::getpid() != owner) {
    // After fork() RocksDB's threads are not in this process, and its destructor would wait for
    // them.
    static_cast<void>(store.release());
    static_cast<void>(pool_.release());
    if (list_builder_.joinable()) list_builder_.detach();
    return;
  }
  if (store != nullptr) static_cast<void>(close());
}

Result<std::shared_lock<std::shared_mutex>> Database::Impl::enter() const {
  if (::getpid() != owner) {
    return Status(
        StatusCode::kFailedPrecondition,
        fmt::format(
            "this database was opened by process {}; a fork of it cannot use the handle. Open the "
            "database again in process {}",
            owner, ::getpid()));
  }
  std::shared_lock lock(lifecycle);
  if (store == nullptr) {
    return Status(StatusCode::kFailedPrecondition, "this database was closed; open it again");
  }
  return lock;
}

Result<query::EncoderPointer> Database::Impl::encoder() const {
  const std::lock_guard lock(encoder_mutex_);
  if (encoder_ == nullptr) {
    NESTOR_ASSIGN_OR_RETURN(encoder_, encoder_factory_());
  }
  return encoder_;
}

std::int64_t Database::Impl::model_file_bytes() const {
  const std::lock_guard lock(encoder_mutex_);
  if (encoder_ == nullptr) return 0;
  std::error_code error;
  const std::string& path = encoder_->info().folder;
  if (!std::filesystem::is_regular_file(path, error)) return 0;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(bytes);
}

ViewPointer Database::Impl::current_view() const {
  const std::shared_lock lock(state);
  return view;
}

Result<std::optional<Collection>> Database::Impl::find(const storage::DocumentStore::View& seen,
                                                       const std::string& name) const {
  NESTOR_RETURN_IF_ERROR(query::check_collection_name(name));
  NESTOR_ASSIGN_OR_RETURN(auto found, store->find_collection(seen, name));
  if (found.has_value() || name == kDefaultCollection) return found;
  NESTOR_ASSIGN_OR_RETURN(const auto known, store->collections(seen));
  std::string names;
  for (const Collection& collection : known) names += (names.empty() ? "" : ", ") + collection.name;
  return Status(StatusCode::kNotFound, fmt::format("no collection '{}' in {}; there are: {}", name,
                                                   store->path(), names.empty() ? "none" : names));
}

Result<bool> Database::Impl::create_collection(const std::string& name,
                                               const CollectionOptions& collection_options) {
  NESTOR_RETURN_IF_ERROR(query::check_collection_name(name));
  const int width = collection_options.vector_width;
  if (width < 0 || width > query::kMostVectorWidth) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format(
            "a vector width of {}; 1 to {} are possible, 0 for a collection that embeds its texts",
            width, query::kMostVectorWidth));
  }
  const Metric metric = collection_options.metric;
  if (width == 0 && metric != Metric::kCosine) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("metric {} for collection '{}', which embeds its texts: the model's "
                              "vectors are compared by cosine. Give a vector_width for vectors of "
                              "your own",
                              metric_name(metric), name));
  }
  const std::lock_guard writer(writing);
  NESTOR_ASSIGN_OR_RETURN(const auto found, store->find_collection(*current_view(), name));
  if (found.has_value()) {
    if (found->external == (width > 0) && (width == 0 || found->width == width) &&
        found->metric == metric) {
      return false;
    }
    return Status(
        StatusCode::kAlreadyExists,
        fmt::format("collection '{}' exists and {}", name,
                    found->external ? fmt::format("keeps vectors of width {}, compared by {}",
                                                  found->width, metric_name(found->metric))
                                    : std::string("embeds its texts")));
  }
  NESTOR_ASSIGN_OR_RETURN(const Collection made,
                          store->create_collection(name, width, width > 0, metric));
  const std::unique_lock lock(state);
  view = store->view();
  return made.name == name;
}

Status Database::Impl::set_attribute(const std::string& collection, const std::string& name,
                                     const std::string& value) {
  const bool language = name == query::kLanguageAttribute;
  if (language && !value.empty()) {
    NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const auto known, query::TextAnalyzer::make(value));
  }
  const std::lock_guard writer(writing);
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*current_view(), collection));
  if (!found.has_value()) {
    NESTOR_ASSIGN_OR_RETURN(const Collection made, store->create_collection(collection, 0, false));
    log_to(log, LogLevel::kInfo, "made collection " + made.name);
  } else if (const auto old = found->attributes.find(name);
             old == found->attributes.end() ? value.empty() : old->second == value) {
    return {};
  }
  NESTOR_RETURN_IF_ERROR(store->set_attribute(collection, name, value));
  if (language) {
    NESTOR_ASSIGN_OR_RETURN(const auto changed, store->find_collection(*store->view(), collection));
    if (changed.has_value())
      NESTOR_RETURN_IF_ERROR(query::build_postings(*store, *changed, log, {}));
  }
  return take_new_view(collection);
}

Status Database::Impl::take_new_view(const std::string& collection) {
  const std::unique_lock lock(state);
  view = store->view();
  if (const auto loaded = indexes.find(collection); loaded != indexes.end()) {
    NESTOR_ASSIGN_OR_RETURN(const auto now, store->find_collection(*view, collection));
    if (now.has_value()) loaded->second.collection = *now;
  }
  return {};
}

// Keys that are there and are not written in the same batch: of both, the document stays.
Status Database::Impl::add_removals(const std::vector<std::string>& keys,
                                    const storage::DocumentStore::View& seen,
                                    const std::optional<Collection>& collection,
                                    storage::Batch& batch) const {
  for (const std::string& key : keys) NESTOR_RETURN_IF_ERROR(query::check_key(key));
  if (!collection.has_value()) return {};
  std::set<std::string> gone(keys.begin(), keys.end());
  for (const storage::DocumentWrite& write : batch.writes) gone.erase(write.document.key);
  for (const std::string& key : gone) {
    const auto document = store->find_document(seen, collection->id, key);
    const bool damaged = document.status().code() == StatusCode::kDataLoss;
    if (!document.ok() && !damaged) return document.status();
    if (damaged || document.value().has_value()) batch.removals.push_back(key);
  }
  return {};
}

Result<AddReport> Database::Impl::add(std::span<const Document> documents,
                                      const AddOptions& options) {
  if (store->read_only()) {
    return Status(StatusCode::kFailedPrecondition,
                  store->path() + " was opened read-only; nothing can be added");
  }
  const std::lock_guard writer(writing);
  const ViewPointer seen = current_view();
  NESTOR_RETURN_IF_ERROR(query::check_collection_name(options.collection));
  NESTOR_ASSIGN_OR_RETURN(const auto collection, store->find_collection(*seen, options.collection));
  const auto get_encoder = [this] { return encoder(); };
  NESTOR_ASSIGN_OR_RETURN(
      query::PreparedBatch prepared,
      query::prepare_batch(*store, *seen, collection, documents, options, get_encoder));
  NESTOR_RETURN_IF_ERROR(add_removals(options.removals, *seen, collection, prepared.batch));
  if (prepared.batch.writes.empty() && prepared.batch.removals.empty()) return prepared.report;
  NESTOR_RETURN_IF_ERROR(check_room(prepared.batch, collection, prepared.external));
  if (prepared.collection_missing) {
    NESTOR_ASSIGN_OR_RETURN(
        const Collection made,
        store->create_collection(options.collection, prepared.external ? prepared.batch.width : 0,
                                 prepared.external));
    log_to(log, LogLevel::kInfo, "made collection " + made.name);
  }
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit commit, store->commit(prepared.batch));
  publish(commit, prepared.batch);
  return prepared.report;
}

Result<std::int64_t> Database::Impl::remove(std::span<const std::string> keys,
                                            const RemoveOptions& options) {
  if (store->read_only()) {
    return Status(StatusCode::kFailedPrecondition,
                  store->path() + " was opened read-only; nothing can be removed");
  }
  const std::lock_guard writer(writing);
  const ViewPointer seen = current_view();
  NESTOR_ASSIGN_OR_RETURN(const auto collection, find(*seen, options.collection));
  storage::Batch batch;
  batch.collection = options.collection;
  if (collection.has_value()) {
    batch.width = collection->width;
    batch.space = collection->space;
    batch.model = collection->model;
  }
  NESTOR_RETURN_IF_ERROR(add_removals({keys.begin(), keys.end()}, *seen, collection, batch));
  if (batch.removals.empty()) return 0;
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit commit, store->commit(batch));
  publish(commit, batch);
  return commit.removed_documents;
}

// Metadata written over rows that stay is not noted: the cache then begins anew.
void Database::Impl::note_for_filters(const storage::Commit& commit, const storage::Batch& batch) {
  if (!batch.metadata_writes.empty() || !filters.cache().holds(commit.collection.id)) return;
  const auto before = store->find_collection(*current_view(), batch.collection);
  if (!before.ok() || !before.value().has_value()) return;
  query::FilterChange change{.sequence_before = before.value()->sequence,
                             .sequence = commit.collection.sequence,
                             .removed_rows = commit.removed_row_ids,
                             .added = {}};
  std::size_t row = 0;
  for (const storage::DocumentWrite& write : batch.writes) {
    change.added.push_back({.key = write.document.key,
                            .title = write.document.title,
                            .metadata = write.document.metadata,
                            .rows = {.first = commit.row_ids[row],
                                     .count = static_cast<std::int64_t>(write.rows.size())}});
    row += write.rows.size();
  }
  filters.cache().note(commit.collection.id, std::move(change));
}

void Database::Impl::publish(const storage::Commit& commit, const storage::Batch& batch) {
  if (const Status followed = follow_in_shadow(commit, batch); !followed.ok()) {
    log_to(log, LogLevel::kWarning,
           "the reembed that was begun still holds what was removed, until it goes on: " +
               followed.message());
  }
  changed_.insert(batch.collection);
  note_for_filters(commit, batch);
  std::vector<float> rows;  // (ids, width)
  const bool indexed = [&] {
    const std::shared_lock lock(state);
    return indexes.contains(batch.collection);
  }();
  if (indexed) {
    rows.reserve(commit.row_ids.size() * static_cast<std::size_t>(commit.collection.width));
    for (const storage::DocumentWrite& write : batch.writes) {
      for (const storage::Row& row : write.rows)
        rows.insert(rows.end(), row.vector.begin(), row.vector.end());
    }
  }
  {
    const std::unique_lock lock(state);
    view = store->view();
    const auto found = indexes.find(batch.collection);
    if (found == indexes.end()) return;
    LevelIndex& index = found->second;
    // A search may have loaded the index between the two locks; it is then made anew at the next
    // search.
    Status status = indexed ? Status() : Status(StatusCode::kInternal, "loaded meanwhile");
    if (status.ok()) {
      index.loaded.index->remove(commit.removed_row_ids);
      status = index.loaded.index->add(commit.row_ids, rows);
    }
    if (!status.ok()) {
      log_to(log, LogLevel::kInfo,
             "index dropped, to be made anew from the store: " + status.message());
      indexes.erase(found);
      return;
    }
    index.collection = commit.collection;
    index.loaded.caught_up_rows +=
        static_cast<std::int64_t>(commit.row_ids.size() + commit.removed_row_ids.size());
  }
  if (const Status renewed = renew_index(batch.collection); !renewed.ok()) {
    log_to(log, LogLevel::kWarning, "the index stays as it was: " + renewed.message());
  }
  start_lists(batch.collection);
}

// Only writers change rows, and this one holds `writing`: what is built from the view is level.
Status Database::Impl::renew_index(const std::string& name) {
  LevelIndex* index = nullptr;
  ViewPointer seen;
  query::IndexRoom room;
  {
    const std::shared_lock lock(state);
    const auto found = indexes.find(name);
    if (found == indexes.end()) return {};
    index = &found->second;
    seen = view;
    room = room_for(name);
  }
  return query::renew_index(
      *store, *seen, index->collection, index->loaded,
      [this](const std::function<void()>& change) {
        const std::unique_lock lock(state);
        change();
      },
      room);
}

Status Database::Impl::ensure_index(const std::string& name, const query::Plan& plan) const {
  const std::unique_lock lock(state);
  auto found = indexes.find(name);
  if (found == indexes.end()) {
    NESTOR_ASSIGN_OR_RETURN(const auto collection, store->find_collection(*view, name));
    if (!collection.has_value() || collection->width == 0) {
      return {StatusCode::kNotFound, fmt::format("no collection '{}'", name)};
    }
    NESTOR_ASSIGN_OR_RETURN(query::LoadedIndex loaded,
                            query::load_index(*store, *view, *collection, log, room_for(name)));
    found = indexes.emplace(name, LevelIndex{*collection, std::move(loaded)}).first;
  }
  LevelIndex& index = found->second;
  if (plan.codes || index.loaded.index->has_width(plan.coarse_width)) return {};
  NESTOR_RETURN_IF_ERROR(room_for(name).check(
      name, fmt::format("hold the first {} components of each row", plan.coarse_width),
      [&](const query::MemoryBudget&) {
        return index.loaded.index->owned_bytes() +
               index::CoarseIndex::bytes_of(plan.coarse_width, index.collection.passages);
      }));
  const query::StoreSource source(*store, *view, index.collection);
  return index.loaded.index->build_width(plan.coarse_width, source);
}

Status Database::Impl::complete_postings() {
  if (store->read_only()) return {};
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store->collections(*current_view()));
  for (const Collection& collection : collections) {
    NESTOR_RETURN_IF_ERROR(query::build_postings(*store, collection, log, {}));
  }
  const std::unique_lock lock(state);
  view = store->view();
  return {};
}

Status Database::Impl::save_indexes() {
  if (store->read_only()) return {};
  std::set<std::string> names = changed_;
  for (const auto& [name, index] : indexes) names.insert(name);
  for (const std::string& name : names) {
    NESTOR_ASSIGN_OR_RETURN(const auto collection, store->find_collection(*view, name));
    if (!collection.has_value() || collection->passages == 0) continue;
    NESTOR_ASSIGN_OR_RETURN(
        const query::Plan plan,
        query::make_plan({}, collection->width, !collection->external, collection->passages));
    const Status loaded = ensure_index(name, plan);
    if (budget.limited() && loaded.code() == StatusCode::kOutOfMemory) {
      hold_back("index file of collection '" + name + "'", loaded);
      continue;
    }
    NESTOR_RETURN_IF_ERROR(loaded);
    LevelIndex& index = indexes.at(name);
    if (index.loaded.index->has_codes() && index.loaded.index->codes().wants_lists(list_rows)) {
      log_to(log, LogLevel::kInfo,
             fmt::format("sorting {} passages of '{}' for faster searches",
                         index.collection.passages, name));
      NESTOR_RETURN_IF_ERROR(build_lists(name, {}));
    }
    NESTOR_RETURN_IF_ERROR(
        query::save_index(*store, index.collection, index.loaded, room_for(name)));
    // The next one may need the room.
    if (budget.limited()) indexes.erase(name);
  }
  return {};
}

Status Database::Impl::close() {
  const std::unique_lock alone(lifecycle);
  if (store == nullptr) return {StatusCode::kFailedPrecondition, "this database is closed already"};
  if (list_builder_.joinable()) {
    list_builder_.request_stop();
    list_builder_.join();
  }
  // A cache that cannot be saved loses nothing: the next open makes it anew.
  if (const Status saved = save_indexes(); !saved.ok()) {
    log_to(log, LogLevel::kWarning, "the index cache could not be saved: " + saved.message());
  }
  indexes.clear();
  view.reset();
  store.reset();
  return {};
}

}  // namespace nestor
