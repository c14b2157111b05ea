#include "nestor/database.h"

#include <unistd.h>

#include <utility>

#include "core/macros.h"
#include "core/option_range.h"
#include "query/cache_check.h"
#include "query/database_call.h"
#include "query/database_impl.h"
#include "query/expiry.h"
#include "query/field_names.h"
#include "query/input_check.h"
#include "query/open_database.h"
#include "storage/manifest.h"

namespace nestor {

using query::guarded;
using query::moved_from;

namespace {

std::string precision_of(const storage::Collection& collection) {
  if (collection.rows_by_mode.empty()) return collection.external ? "external" : "";
  if (collection.rows_by_mode.size() > 1) return "mixed";
  switch (static_cast<storage::NumericMode>(collection.rows_by_mode.begin()->first)) {
    case storage::NumericMode::kF32:
      return "f32";
    case storage::NumericMode::kExternal:
      return "external";
    case storage::NumericMode::kBf16:
      return "bf16";
    case storage::NumericMode::kInt8:
      return "int8";
  }
  return "unknown";
}

CollectionStats stats_of(const storage::Collection& collection) {
  const auto [name, dim, user_vectors, metric, fingerprint, model, attributes] =
      describe(collection);
  return {.name = name,
          .documents = collection.documents,
          .passages = collection.passages,
          .width = dim,
          .space = user_vectors ? "external" : fingerprint,
          .model = model,
          .precision = precision_of(collection),
          .metric = metric,
          .text_bytes = collection.text_bytes,
          .truncated_passages = collection.truncated_passages,
          .attributes = attributes};
}

}  // namespace

namespace query {

Result<Database> open_database(const std::string& path, const OpenOptions& options,
                               EncoderFactory encoder, const Upkeep& upkeep) {
  return guarded([&]() -> Result<Database> {
    NESTOR_RETURN_IF_ERROR(check_open(options));
    NESTOR_ASSIGN_OR_RETURN(const MemoryBudget budget,
                            MemoryBudget::of(options.memory_bytes, options.query_cache_bytes));
    NESTOR_ASSIGN_OR_RETURN(auto store, storage::DocumentStore::open(
                                            path, {.create_if_missing = options.create_if_missing,
                                                   .read_only = options.read_only,
                                                   .log = options.log,
                                                   .memory_bytes = budget.store}));
    auto impl =
        std::make_unique<Database::Impl>(std::move(store), std::move(encoder), options, budget);
    impl->thread_count = options.embedder.thread_count;
    impl->list_rows = upkeep.list_rows;
    NESTOR_RETURN_IF_ERROR(impl->complete_postings());
    NESTOR_RETURN_IF_ERROR(remove_caches_of_the_gone(*impl->store, *impl->current_view()));
    return Database(std::move(impl));
  });
}

}  // namespace query

Result<Database> Database::open(const std::string& path, const OpenOptions& options) {
  EmbedderOptions embedder = options.embedder;
  if (!embedder.log) embedder.log = options.log;
  return query::open_database(path, options,
                              query::embedder_factory(embedder, options.shared_embedder));
}

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<bool> Database::create_collection(const std::string& name,
                                         const CollectionOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->create_collection(query::descriptor_of(name, options)); });
}

Status Database::set_attribute(const std::string& collection, const std::string& name,
                               const std::string& value) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->set_attribute(collection, name, value); });
}

Result<std::string> Database::attribute(const std::string& collection,
                                        const std::string& name) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<std::string> {
    NESTOR_ASSIGN_OR_RETURN(const auto found, impl_->find(*impl_->current_view(), collection));
    if (!found.has_value()) return std::string();
    const auto attribute = found->attributes.find(name);
    return attribute == found->attributes.end() ? std::string() : attribute->second;
  });
}

Result<AddReport> Database::add(std::span<const Document> documents, const AddOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->add(documents, options); });
}

Result<AddReport> Database::add(const std::vector<Document>& documents, const AddOptions& options) {
  return add(std::span(documents), options);
}

Result<std::int64_t> Database::remove(std::span<const std::string> keys,
                                      const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->and_erased(impl_->remove(keys, options), options); });
}

Result<std::int64_t> Database::remove(const std::vector<std::string>& keys,
                                      const RemoveOptions& options) {
  return remove(std::span(keys), options);
}

Result<std::int64_t> Database::remove_matching(const Filter& filter, const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&]() -> Result<std::int64_t> {
    if (filter.empty()) {
      return Status(StatusCode::kInvalidArgument,
                    "the filter says nothing and would remove every document; say which, or "
                    "`key exists` for all");
    }
    return impl_->and_erased(impl_->change_documents(options.collection,
                                                     [&](const auto& source, const auto& commit) {
                                                       return query::remove_matching(
                                                           source, filter, commit, options.stop);
                                                     }),
                             options);
  });
}

Result<std::int64_t> Database::remove_expired(const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&] {
    return impl_->and_erased(impl_->change_documents(options.collection,
                                                     [&](const auto& source, const auto& commit) {
                                                       return query::sweep_expired(source, commit,
                                                                                   options.stop);
                                                     }),
                             options);
  });
}

Result<std::int64_t> Database::change_metadata(const std::vector<MetadataChange>& changes,
                                               const std::string& collection) {
  NESTOR_ENTER();
  return guarded([&] {
    return impl_->change_documents(collection, [&](const auto& source, const auto& commit) {
      return query::change_metadata(source, changes, commit);
    });
  });
}

Result<std::int64_t> Database::count(const Filter& filter, const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&] {
    return impl_->on_documents(collection, [&](const query::DocumentSource& source) {
      return query::count_documents(source, filter);
    });
  });
}

Result<std::vector<std::string>> Database::list_keys(const Filter& filter,
                                                     const std::string& collection,
                                                     const std::string& after,
                                                     std::int64_t limit) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<std::vector<std::string>> {
    NESTOR_RETURN_IF_ERROR(check_number("limit", limit, ranges::kListLimit));
    std::vector<std::string> keys;
    NESTOR_ASSIGN_OR_RETURN(
        [[maybe_unused]] const std::int64_t count,
        impl_->on_documents(collection,
                            [&](const query::DocumentSource& source) -> Result<std::int64_t> {
                              NESTOR_ASSIGN_OR_RETURN(
                                  keys, query::list_matching_keys(source, filter, after, limit));
                              return std::ssize(keys);
                            }));
    return keys;
  });
}

Result<std::vector<UnknownField>> Database::unknown_fields(const Filter& filter,
                                                           const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<std::vector<UnknownField>> {
    const auto view = impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto found, impl_->find(*view, collection));
    if (!found.has_value()) return std::vector<UnknownField>();
    return query::unknown_fields(*impl_->store, *view, *found, filter);
  });
}

Result<Document> Database::get(const std::string& key, const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<Document> {
    NESTOR_RETURN_IF_ERROR(query::check_key(key));
    const auto view = impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto found, impl_->find(*view, collection));
    if (found.has_value()) {
      NESTOR_ASSIGN_OR_RETURN(auto stored, impl_->store->find_document(*view, found->id, key));
      if (stored.has_value() &&
          !query::is_expired(stored->document.metadata, query::seconds_since_1970())) {
        return std::move(stored->document);
      }
    }
    return Status(StatusCode::kNotFound,
                  "no document '" + key + "' in collection '" + collection + "'");
  });
}

Result<std::vector<std::string>> Database::list_keys(const std::string& collection,
                                                     const std::string& after,
                                                     std::int64_t limit) const {
  return list_keys(Filter(), collection, after, limit);
}

Result<ReembedReport> Database::reembed(const ReembedOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->reembed(options); });
}

Result<SearchResult> Database::search(std::string_view query, const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->search_text(query, options); });
}

Result<SearchResult> Database::search(const Query& query, const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->search_query(query, options); });
}

Result<SearchResult> Database::search_vector(std::span<const float> vector,
                                             const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->search_vector(vector, options); });
}

Result<std::vector<SearchResult>> Database::search_batch(const std::vector<std::string>& queries,
                                                         const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->search_batch(queries, options); });
}

Result<std::vector<SearchResult>> Database::search_vectors(std::span<const float> vectors,
                                                           const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->search_vectors(vectors, options); });
}

Result<RecallReport> Database::measure_recall(const RecallOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->measure_recall(options); });
}

Result<Stats> Database::stats() const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<Stats> {
    const auto view = impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto collections, impl_->store->collections(*view));
    // An older database that was opened read-only keeps its format.
    NESTOR_ASSIGN_OR_RETURN(const auto manifest, storage::read_manifest(impl_->store->path()));
    Stats stats{
        .path = impl_->store->path(),
        .format_version = manifest.has_value() ? manifest->format_version : storage::kFormatVersion,
        .sequence = impl_->store->sequence(*view),
        .disk_bytes = impl_->store->disk_bytes(),
        .collections = {}};
    for (const storage::Collection& collection : collections)
      stats.collections.push_back(stats_of(collection));
    return stats;
  });
}

Result<MemoryUsage> Database::memory_usage() const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<MemoryUsage> { return impl_->memory_usage(); });
}

Result<RefreshReport> Database::refresh() {
  NESTOR_ENTER();
  return guarded([&] { return impl_->refresh(); });
}

Result<BackupReport> Database::backup(const std::string& to, const BackupOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->backup(to, options); });
}

Result<BundleReport> Database::bundle(const std::string& file, const BackupOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->bundle(file, options); });
}

Result<ExportReport> Database::export_documents(const LineWriter& write,
                                                const ExportOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->export_documents(write, options); });
}

Result<ImportReport> Database::import_documents(const LineSource& next,
                                                const ImportOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->import_documents(next, options); });
}

Result<Embedder> Database::embedder() const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<Embedder> {
    NESTOR_ASSIGN_OR_RETURN(const query::EncoderPointer encoder, impl_->encoder());
    if (encoder->embedder() == nullptr) {
      return Status(StatusCode::kFailedPrecondition,
                    "this database was opened with an encoder of its own");
    }
    return *encoder->embedder();
  });
}

Status Database::close() {
  if (impl_ == nullptr) return moved_from();
  if (::getpid() != impl_->owner) return impl_->enter().status();
  return guarded([&] { return impl_->close(); });
}

}  // namespace nestor
