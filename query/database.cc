#include "nestor/database.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "core/macros.h"
#include "core/option_range.h"
#include "query/cache_check.h"
#include "query/database_call.h"
#include "query/database_impl.h"
#include "query/input_check.h"
#include "storage/backup.h"
#include "storage/bundle.h"

namespace nestor {

using query::guarded;
using query::moved_from;

Database::Impl::Impl() : owner(::getpid()) {}

Database::Impl::~Impl() {
  if (::getpid() != owner) {
    // After fork() RocksDB's threads are not in this process, and its destructor would wait for
    // them.
    static_cast<void>(parts.release());
    return;
  }
  static_cast<void>(guarded([&] { return close(); }));
}

Status Database::Impl::check(const query::CallGate::Pass& pass) const {
  if (::getpid() != owner) {
    return {StatusCode::kFailedPrecondition,
            fmt::format("this database was opened by process {}; a fork of it cannot use the "
                        "handle. Open the database again in process {}",
                        owner, ::getpid())};
  }
  if (pass.entered()) return {};
  return {StatusCode::kFailedPrecondition, "this database was closed; open it again"};
}

Status Database::Impl::close() {
  if (gate.inside()) {
    return {StatusCode::kFailedPrecondition,
            "a callback cannot close the database whose call it belongs to; close it once that "
            "call has returned"};
  }
  // A second call returns when the first has: nothing is inside then, and the parts are gone.
  const std::lock_guard one(closing);
  if (!gate.close()) return {StatusCode::kFailedPrecondition, "this database is closed already"};
  if (parts == nullptr) return {};
  const Status saved = guarded([&] {
    parts->indexes.stop();
    return parts->indexes.save(parts->writer.changed());
  });
  // A cache that cannot be saved loses nothing: the next open makes it anew.
  if (!saved.ok()) {
    parts->context.log(LogLevel::kWarning,
                       "the index cache could not be saved: " + saved.message());
  }
  parts.reset();
  return {};
}

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
    auto impl = std::make_unique<Database::Impl>();
    impl->parts = std::make_unique<Database::Impl::Parts>(std::move(store), std::move(encoder),
                                                          options, budget, upkeep);
    NESTOR_RETURN_IF_ERROR(impl->parts->writer.complete_postings());
    DatabaseContext& context = impl->parts->context;
    NESTOR_RETURN_IF_ERROR(
        remove_caches_of_the_gone(*context.store, *context.published.get()->view));
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
  return guarded(
      [&] { return impl_->parts->writer.create_collection(query::descriptor_of(name, options)); });
}

Status Database::set_attribute(const std::string& collection, const std::string& name,
                               const std::string& value) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.set_attribute(collection, name, value); });
}

Result<std::string> Database::attribute(const std::string& collection,
                                        const std::string& name) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.attribute(collection, name); });
}

Result<AddReport> Database::add(std::span<const Document> documents, const AddOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.add(documents, options); });
}

Result<AddReport> Database::add(const std::vector<Document>& documents, const AddOptions& options) {
  return add(std::span(documents), options);
}

Result<std::int64_t> Database::remove(std::span<const std::string> keys,
                                      const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.remove(keys, options); });
}

Result<std::int64_t> Database::remove(const std::vector<std::string>& keys,
                                      const RemoveOptions& options) {
  return remove(std::span(keys), options);
}

Result<std::int64_t> Database::remove_matching(const Filter& filter, const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.remove_matching(filter, options); });
}

Result<std::int64_t> Database::remove_expired(const RemoveOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.remove_expired(options); });
}

Result<std::int64_t> Database::change_metadata(const std::vector<MetadataChange>& changes,
                                               const std::string& collection) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.change_metadata(changes, collection); });
}

Result<Document> Database::get(const std::string& key, const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.get(key, collection); });
}

Result<std::vector<std::string>> Database::list_keys(const Filter& filter,
                                                     const std::string& collection,
                                                     const std::string& after,
                                                     std::int64_t limit) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.list_keys(filter, collection, after, limit); });
}

Result<std::vector<UnknownField>> Database::unknown_fields(const Filter& filter,
                                                           const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.unknown_fields(filter, collection); });
}

Result<std::vector<std::string>> Database::list_keys(const std::string& collection,
                                                     const std::string& after,
                                                     std::int64_t limit) const {
  return list_keys(Filter(), collection, after, limit);
}

Result<std::int64_t> Database::count(const Filter& filter, const std::string& collection) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.count(filter, collection); });
}

Result<ReembedReport> Database::reembed(const ReembedOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.reembed(options); });
}

namespace {

// A rerank callback may run on a thread of the pool: it is marked as inside the call all the same.
SearchOptions marked(const SearchOptions& options, const query::CallGate& gate) {
  if (!options.rerank) return options;
  SearchOptions same = options;
  same.rerank = [&gate, &callback = options.rerank](const RerankRequest& request) {
    const query::CallGate::Mark mark(&gate);
    return callback(request);
  };
  return same;
}

}  // namespace

Result<SearchResult> Database::search(std::string_view query, const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] {
    return impl_->parts->searcher.search({.like = {.texts = {{std::string(query)}}}},
                                         marked(options, impl_->gate));
  });
}

Result<SearchResult> Database::search(const Query& query, const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded(
      [&] { return impl_->parts->searcher.search(query, marked(options, impl_->gate)); });
}

Result<SearchResult> Database::search_vector(std::span<const float> vector,
                                             const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded(
      [&] { return impl_->parts->searcher.search_vector(vector, marked(options, impl_->gate)); });
}

Result<std::vector<SearchResult>> Database::search_batch(const std::vector<std::string>& queries,
                                                         const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded(
      [&] { return impl_->parts->searcher.search_batch(queries, marked(options, impl_->gate)); });
}

Result<std::vector<SearchResult>> Database::search_vectors(std::span<const float> vectors,
                                                           const SearchOptions& options) const {
  NESTOR_ENTER();
  return guarded(
      [&] { return impl_->parts->searcher.search_vectors(vectors, marked(options, impl_->gate)); });
}

Result<RecallReport> Database::measure_recall(const RecallOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->searcher.measure_recall(options); });
}

Result<Stats> Database::stats() const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.stats(); });
}

Result<MemoryUsage> Database::memory_usage() const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<MemoryUsage> { return impl_->parts->reader.memory_usage(); });
}

Result<VerifyReport> Database::verify(std::stop_token stop) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.verify(stop); });
}

Result<RefreshReport> Database::refresh() {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.refresh(); });
}

Result<BackupReport> Database::backup(const std::string& to, const BackupOptions& options) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<BackupReport> {
    NESTOR_ASSIGN_OR_RETURN(
        const storage::BackupResult result,
        storage::backup_store(impl_->parts->context.store->path(), to, options));
    return BackupReport{.sequence = result.sequence,
                        .bytes = result.bytes,
                        .shared_bytes = result.linked_bytes,
                        .verified = options.verify,
                        .documents = result.documents,
                        .passages = result.passages};
  });
}

Result<BundleReport> Database::bundle(const std::string& file, const BackupOptions& options) const {
  NESTOR_ENTER();
  return guarded(
      [&] { return storage::write_bundle(impl_->parts->context.store->path(), file, options); });
}

Result<BundleReport> Database::unbundle(const std::string& file, const std::string& to,
                                        const BackupOptions& options) {
  return guarded([&] { return storage::read_bundle(file, to, options); });
}

Result<ExportReport> Database::export_documents(const LineWriter& write,
                                                const ExportOptions& options) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.export_documents(write, options); });
}

Result<ImportReport> Database::import_documents(const LineSource& next,
                                                const ImportOptions& options) {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.import_documents(next, options); });
}

Result<CompactReport> Database::compact() {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->writer.compact(); });
}

Result<ErasureReport> Database::verify_erased(const std::string& key,
                                              const std::vector<std::string>& texts,
                                              const std::string& collection,
                                              std::stop_token stop) const {
  NESTOR_ENTER();
  return guarded([&] { return impl_->parts->reader.verify_erased(key, texts, collection, stop); });
}

Result<Embedder> Database::embedder() const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<Embedder> {
    NESTOR_ASSIGN_OR_RETURN(const query::EncoderPointer encoder,
                            impl_->parts->context.encoder.get());
    if (encoder->embedder() == nullptr) {
      return Status(StatusCode::kFailedPrecondition,
                    "this database was opened with an encoder of its own");
    }
    return *encoder->embedder();
  });
}

Status Database::close() {
  if (impl_ == nullptr) return moved_from();
  if (::getpid() != impl_->owner) {
    const query::CallGate::Pass pass(impl_->gate);
    return impl_->check(pass);
  }
  return guarded([&] { return impl_->close(); });
}

}  // namespace nestor
