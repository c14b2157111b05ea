#include "storage/rocksdb_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/folder.h"
#include "core/macros.h"
#include "core/text.h"
#include "storage/commit_plan.h"
#include "storage/field_index.h"
#include "storage/journal.h"
#include "storage/key_schema.h"
#include "storage/planned_commit.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_view.h"
#include "storage/shadow_collection.h"
#include "storage/store_refresh.h"
#include "storage/store_verifier.h"

namespace nestor::storage {
namespace {

bool lacks_tables(rocksdb::DB& db) {
  std::vector<rocksdb::LiveFileMetaData> tables;
  db.GetLiveFilesMetaData(&tables);
  return std::any_of(tables.begin(), tables.end(), [](const rocksdb::LiveFileMetaData& table) {
    std::error_code ignored;
    return !std::filesystem::exists(table.db_path + table.name, ignored);
  });
}

}  // namespace

Status no_collection(const std::string& name) {
  return {StatusCode::kNotFound, "there is no collection " + quote_for_message(name)};
}

RocksdbStore::RocksdbStore(std::string path, RocksdbPointer db, StoreState state,
                           std::uint64_t database_id, std::optional<Writer> writer,
                           std::int64_t memory_bytes)
    : path_(std::move(path)),
      process_(::getpid()),
      database_id_(database_id),
      memory_bytes_(memory_bytes),
      writer_(std::move(writer)),
      db_(std::move(db)),
      state_(state),
      current_(std::make_shared<RocksdbView>(db_, !writer_.has_value(), state_.sequence)) {}

RocksdbStore::~RocksdbStore() {
  current_.reset();
  // Closing waits for background threads, which a forked child does not have.
  if (process_ != ::getpid()) {
    leave_to_parent(db_);
    return;
  }
  if (writer_ && write_failure_.ok()) spare_the_next_open();
}

// Every open replays the log into memory; what lies in tables costs it nothing. Nothing is lost by
// leaving it, so a failure is none.
void RocksdbStore::spare_the_next_open() const {
  constexpr std::int64_t kSmallLog = std::int64_t{1} << 20;
  [[maybe_unused]] const Status flushed = catching_exceptions([&]() -> Status {
    const std::int64_t bytes = log_bytes(db_->GetName());
    if (bytes < kSmallLog) return {};
    NESTOR_RETURN_IF_ERROR(check_free_space(writer_->free_bytes, path_, bytes, "the log stays"));
    return freezing_on_exception(db_, [&] {
      return status_from_rocksdb(db_->Flush(rocksdb::FlushOptions()), "write tables of " + path_);
    });
  });
}

Status RocksdbStore::check_process() const {
  if (process_ == ::getpid()) return {};
  return {StatusCode::kFailedPrecondition,
          fmt::format("{} was opened by pid {} and does not survive fork(); open it again in this "
                      "process",
                      path_, process_)};
}

Status RocksdbStore::check_writable() const {
  if (!writer_) {
    return {StatusCode::kFailedPrecondition, path_ + " is open read-only; open it for writing"};
  }
  if (write_failure_.ok()) return {};
  return {StatusCode::kIoError, "an earlier write failed (" + write_failure_.message() +
                                    "); close the database and open it again"};
}

Result<CollectionRecord> RocksdbStore::require_collection(const std::string& name) const {
  NESTOR_ASSIGN_OR_RETURN(std::optional<CollectionRecord> record, newest().find_collection(name));
  if (!record) return no_collection(name);
  return *std::move(record);
}

CollectionRecord RocksdbStore::new_record(const CollectionDescriptor& descriptor,
                                          StoreState& state) const {
  CollectionRecord record;
  record.collection = make_collection(descriptor);
  record.collection.id = state.next_collection_id++;
  return record;
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare_collection(
    const CollectionDescriptor& descriptor) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_RETURN_IF_ERROR(check_descriptor(descriptor));
    NESTOR_ASSIGN_OR_RETURN(const auto existing, newest().find_collection(descriptor.name));
    if (existing) {
      return Status(StatusCode::kAlreadyExists,
                    "collection '" + descriptor.name + "' is there already");
    }
    StoreState state = state_;
    CollectionRecord record = new_record(descriptor, state);
    return plan_commit(std::move(record), state, kAlways, [](CommitPlan& plan) {
      plan.begin_collection();
      return Status();
    });
  });
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare_attribute(
    const std::string& collection, const std::string& name, const std::string& value) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_ASSIGN_OR_RETURN(CollectionRecord record, require_collection(collection));
    return plan_commit(std::move(record), state_, kAlways, [&](CommitPlan& plan) {
      plan.set_attribute(name, value);
      return Status();
    });
  });
}

Result<DocumentStore::PreparedPointer> RocksdbStore::prepare(const Batch& batch) {
  return guarded([&]() -> Result<PreparedPointer> {
    NESTOR_RETURN_IF_ERROR(check_writable());
    StoreState state = state_;
    NESTOR_ASSIGN_OR_RETURN(std::optional<CollectionRecord> record,
                            newest().find_collection(batch.collection));
    const bool begins = batch.create.has_value();
    if (begins) {
      NESTOR_RETURN_IF_ERROR(check_descriptor(*batch.create));
      if (record) {
        return Status(StatusCode::kAlreadyExists,
                      "collection '" + batch.collection + "' is there already");
      }
      record = new_record(*batch.create, state);
    }
    if (!record) return no_collection(batch.collection);
    NESTOR_RETURN_IF_ERROR(check_batch(batch, record->collection));
    return plan_commit(*std::move(record), state, kUnlessEmpty, [&](CommitPlan& plan) {
      if (begins) plan.begin_collection();
      return plan.add(batch).with_context("collection '" + batch.collection + "'");
    });
  });
}

Status RocksdbStore::pin_current_view() {
  return catching_exceptions([&]() -> Status {
    static_cast<void>(current_->snapshot());
    return {};
  });
}

Status RocksdbStore::apply(PreparedCommit& prepared) {
  return guarded([&]() -> Status {
    if (prepared.empty()) return {};
    auto& planned = static_cast<PlannedCommit&>(prepared);
    CommitPlan& plan = planned.plan();
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_CHECK(plan.state().sequence == state_.sequence + 1,
                 "a change that was prepared in another state");
    NESTOR_RETURN_IF_ERROR(check_free_space(
        writer_->free_bytes, path_, static_cast<std::int64_t>(plan.batch().GetDataSize()),
        "nothing of this batch was written; make room, searching goes on meanwhile"));
    NESTOR_RETURN_IF_ERROR(pin_current_view());
    NESTOR_RETURN_IF_ERROR(write(plan.batch(), plan.state().sequence));
    // From here on nothing fails.
    state_ = plan.state();
    std::shared_ptr<RocksdbView> before = planned.take_view();
    const std::lock_guard guard(mutex_);
    current_.swap(before);
    return {};
  });
}

Status RocksdbStore::write(rocksdb::WriteBatch& batch, std::uint64_t sequence) {
  // What needs memory comes before the write.
  const std::string action = "write a batch to " + path_;
  const std::string slot = writer_->watermark.slot_of(sequence);
  Status success;
  // Counts as failed until everything is done: an exception on the way must close the store too.
  write_failure_ = Status(StatusCode::kInternal, "it did not come to its end");
  rocksdb::WriteOptions options;
  options.sync = true;
  Status status = catching_exceptions([&] {
    return freezing_on_exception(
        db_, [&] { return status_from_rocksdb(db_->Write(options, &batch), action); });
  });
  if (status.ok()) status = write_failure_of(db_);
  if (status.ok()) status = writer_->watermark.advance(sequence, slot);
  if (!status.ok()) {
    write_failure_ = status;
    return {status.code(), status.message() + "; close the database and open it again"};
  }
  write_failure_ = std::move(success);
  return {};
}

DocumentStore::ViewPointer RocksdbStore::view() const {
  const std::lock_guard guard(mutex_);
  return current_;
}

std::uint64_t RocksdbStore::sequence(const View& view) const {
  return static_cast<const RocksdbView&>(view).sequence();
}

std::shared_ptr<rocksdb::DB> RocksdbStore::db() const {
  const std::lock_guard guard(mutex_);
  return db_;
}

RecordSource RocksdbStore::at(const View& view) const {
  const auto& seen = static_cast<const RocksdbView&>(view);
  return {seen.db(), seen.snapshot()};
}

Status RocksdbStore::named(const Status& status, const View& view, std::uint32_t collection) const {
  if (status.ok()) return status;
  const Result<std::vector<CollectionRecord>> records = at(view).collections();
  if (!records.ok()) return status;
  for (const CollectionRecord& record : records.value()) {
    if (record.collection.id == collection) {
      return status.with_context("collection '" + record.collection.name + "'");
    }
  }
  return status;
}

Result<std::vector<Collection>> RocksdbStore::collections(const View& view) const {
  return guarded([&]() -> Result<std::vector<Collection>> {
    NESTOR_ASSIGN_OR_RETURN(std::vector<CollectionRecord> records, at(view).collections());
    std::vector<Collection> collections;
    for (CollectionRecord& record : records) {
      if (!is_shadow_name(record.collection.name))
        collections.push_back(std::move(record.collection));
    }
    return collections;
  });
}

Result<std::optional<Collection>> RocksdbStore::find_collection(const View& view,
                                                                const std::string& name) const {
  return guarded([&]() -> Result<std::optional<Collection>> {
    NESTOR_ASSIGN_OR_RETURN(std::optional<CollectionRecord> record, at(view).find_collection(name));
    if (!record) return std::optional<Collection>();
    return std::optional<Collection>(std::move(record->collection));
  });
}

Result<std::optional<StoredDocument>> RocksdbStore::find_document(const View& view,
                                                                  std::uint32_t collection,
                                                                  const std::string& key) const {
  return guarded([&]() -> Result<std::optional<StoredDocument>> {
    const std::string record_key = document_key(collection, key);
    const Result<std::optional<std::string>> value = at(view).get(record_key);
    if (!value.ok()) return named(value.status(), view, collection);
    if (!value.value()) return std::optional<StoredDocument>();
    Result<StoredDocument> document = decode_document(record_key, *value.value());
    if (!document.ok()) return named(document.status(), view, collection);
    return std::optional<StoredDocument>(std::move(document).value());
  });
}

Result<std::vector<std::string>> RocksdbStore::list_keys(const View& view, std::uint32_t collection,
                                                         const std::string& after,
                                                         std::int64_t limit) const {
  return guarded([&]() -> Result<std::vector<std::string>> {
    std::vector<std::string> keys;
    if (limit <= 0) return keys;
    // No key holds a NUL, so this is the first one after `after`.
    const std::string begin = document_key(collection, after.empty() ? after : after + '\0');
    const std::string end = prefix_end(key_prefix(KeyTag::kDocument, collection));
    const Status status =
        at(view).scan(begin, end, [&](std::string_view key, std::string_view) -> Result<bool> {
          if (const auto parsed = parse_key(key)) keys.emplace_back(parsed->name);
          return static_cast<std::int64_t>(keys.size()) < limit;
        });
    if (!status.ok()) return named(status, view, collection);
    return keys;
  });
}

Status RocksdbStore::scan_documents(const View& view, std::uint32_t collection,
                                    const std::string& after,
                                    const std::function<bool(const StoredDocument&)>& visit) const {
  return guarded([&]() -> Status {
    const std::string begin = document_key(collection, after.empty() ? after : after + '\0');
    const Status status = at(view).scan(
        begin, prefix_end(key_prefix(KeyTag::kDocument, collection)),
        [&](std::string_view key, std::string_view value) -> Result<bool> {
          NESTOR_ASSIGN_OR_RETURN(const StoredDocument document, decode_document(key, value));
          return visit(document);
        });
    return named(status, view, collection);
  });
}

Status RocksdbStore::visit_rows(
    const View& view, const Collection& collection, std::span<const std::uint64_t> ids,
    const std::function<Status(std::size_t, std::string_view, std::string_view)>& visit) const {
  std::vector<std::size_t> order(ids.size());  // positions in ids, by id
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return ids[a] < ids[b]; });
  std::vector<std::string> keys;      // each id once
  std::vector<std::size_t> first_of;  // per key: where its positions begin in order
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && ids[order[i]] == ids[order[i - 1]]) continue;
    keys.push_back(row_key(collection.id, ids[order[i]]));
    first_of.push_back(i);
  }
  first_of.push_back(order.size());
  return at(view)
      .get_all(keys,
               [&](std::size_t key, std::string_view value) {
                 for (std::size_t i = first_of[key]; i < first_of[key + 1]; ++i) {
                   NESTOR_RETURN_IF_ERROR(visit(order[i], keys[key], value));
                 }
                 return Status();
               })
      .with_context("collection '" + collection.name + "'");
}

Result<std::vector<Row>> RocksdbStore::rows(const View& view, const Collection& collection,
                                            std::span<const std::uint64_t> ids) const {
  return guarded([&]() -> Result<std::vector<Row>> {
    std::vector<Row> rows(ids.size());
    NESTOR_RETURN_IF_ERROR(visit_rows(
        view, collection, ids,
        [&](std::size_t position, std::string_view key, std::string_view value) -> Status {
          NESTOR_ASSIGN_OR_RETURN(rows[position], decode_row(key, value, collection.width));
          return {};
        }));
    return rows;
  });
}

Status RocksdbStore::read_vectors(const View& view, const Collection& collection,
                                  std::span<const std::uint64_t> ids, int width, float* out) const {
  NESTOR_CHECK(width >= 0 && width <= collection.width, "a row has no such prefix");
  const auto stride = static_cast<std::size_t>(width);
  return guarded([&]() -> Status {
    return visit_rows(
        view, collection, ids,
        [&](std::size_t position, std::string_view key, std::string_view value) {
          return decode_row_vector(key, value, collection.width, {out + position * stride, stride});
        });
  });
}

Status RocksdbStore::scan_rows(const View& view, const Collection& collection,
                               std::uint64_t first_row_id,
                               const std::function<bool(const Row&)>& visit) const {
  return guarded([&]() -> Status {
    return at(view)
        .scan(row_key(collection.id, first_row_id),
              prefix_end(key_prefix(KeyTag::kRow, collection.id)),
              [&](std::string_view key, std::string_view value) -> Result<bool> {
                NESTOR_ASSIGN_OR_RETURN(const Row row, decode_row(key, value, collection.width));
                return visit(row);
              })
        .with_context("collection '" + collection.name + "'");
  });
}

Result<std::optional<Changes>> RocksdbStore::changes_since(const View& view,
                                                           const Collection& collection,
                                                           std::uint64_t sequence,
                                                           const Hash128& digest) const {
  return guarded([&] { return read_changes(at(view), collection, sequence, digest); });
}

Result<VerifyReport> RocksdbStore::verify(std::stop_token stop) const {
  return guarded([&]() -> Result<VerifyReport> {
    const ViewPointer current = view();
    Result<VerifyReport> verified = verify_records(at(*current), stop);
    const bool clean = verified.ok() && verified.value().problems.empty();
    // RocksDB opens the tables once more to check them; a writer may have deleted them since.
    if (!clean && !writer_ && lacks_tables(static_cast<const RocksdbView&>(*current).db())) {
      return Status(StatusCode::kIoError,
                    "a writer has replaced tables of " + path_ +
                        " since this reader opened it; refresh it and verify again");
    }
    NESTOR_ASSIGN_OR_RETURN(VerifyReport report, std::move(verified));
    if (const Result<std::uint64_t> watermark = read_watermark(path_, database_id_);
        !watermark.ok()) {
      report.problems.push_back(watermark.status().message());
    }
    return report;
  });
}

Result<bool> RocksdbStore::refresh() {
  return guarded([&]() -> Result<bool> {
    if (writer_) return false;
    NESTOR_ASSIGN_OR_RETURN(auto newer,
                            open_newer(path_, database_id_, state_.sequence, memory_bytes_));
    if (!newer.has_value()) return false;
    std::shared_ptr<rocksdb::DB> db = std::move(newer->db);
    auto next = std::make_shared<RocksdbView>(db, true, newer->state.sequence);
    state_ = newer->state;
    const std::lock_guard guard(mutex_);
    db_.swap(db);  // the one before goes once its last view has
    current_.swap(next);
    return true;
  });
}

std::int64_t RocksdbStore::disk_bytes() const {
  std::int64_t total = 0;
  for (const FolderEntry& file : list_files_below(path_)) total += file.bytes;
  return total;
}

}  // namespace nestor::storage
