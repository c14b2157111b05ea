// The DocumentStore on RocksDB. Made by DocumentStore::open, which has checked what it opens.
// Threads: those of DocumentStore.
#pragma once

#include <rocksdb/db.h>
#include <sys/types.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "storage/document_store.h"
#include "storage/folder_lock.h"
#include "storage/free_space.h"
#include "storage/record_source.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"
#include "storage/watermark.h"

namespace nestor::storage {

class RocksdbView;

Status no_collection(const std::string& name);

class RocksdbStore final : public DocumentStore {
 public:
  // What a writer has and a reader has not.
  struct Writer {
    FolderLock lock;
    WatermarkWriter watermark;
    FreeBytesFunction free_bytes;
  };

  // `memory_bytes` as StoreOptions has it: that `db` was opened with, for the next one.
  RocksdbStore(std::string path, RocksdbPointer db, StoreState state, std::uint64_t database_id,
               std::optional<Writer> writer, std::int64_t memory_bytes = 0);
  ~RocksdbStore() override;

  Result<PreparedPointer> prepare_collection(const CollectionDescriptor& descriptor) override;
  Result<PreparedPointer> prepare_attribute(const std::string& collection, const std::string& name,
                                            const std::string& value) override;
  Result<PreparedPointer> prepare(const Batch& batch) override;
  Status apply(PreparedCommit& prepared) override;
  Status build_postings(const std::string& collection, const std::string& analysis,
                        const TermMaker& make, std::stop_token stop,
                        const ApplyFunction& apply) override;
  Result<PreparedPointer> prepare_shadow(const std::string& collection) override;
  Result<PreparedPointer> prepare_swap(const std::string& collection) override;
  Result<PreparedPointer> prepare_drop_shadow(const std::string& collection) override;
  ViewPointer view() const override;
  std::uint64_t sequence(const View& view) const override;
  Result<std::vector<Collection>> collections(const View& view) const override;
  Result<std::optional<Collection>> find_collection(const View& view,
                                                    const std::string& name) const override;
  Result<std::optional<StoredDocument>> find_document(const View& view, std::uint32_t collection,
                                                      const std::string& key) const override;
  Result<std::vector<std::string>> list_keys(const View& view, std::uint32_t collection,
                                             const std::string& after,
                                             std::int64_t limit) const override;
  Status scan_documents(const View& view, std::uint32_t collection, const std::string& after,
                        const std::function<bool(const StoredDocument&)>& visit) const override;
  Result<bool> has_field_index(const View& view, std::uint32_t collection) const override;
  Status scan_field(const View& view, const FieldRange& range,
                    const FieldVisitor& visit) const override;
  Result<std::vector<std::string>> field_names(const View& view, std::uint32_t collection,
                                               std::size_t limit) const override;
  Result<std::vector<Row>> rows(const View& view, const Collection& collection,
                                std::span<const std::uint64_t> ids) const override;
  Result<std::vector<std::uint64_t>> rows_of_content(const View& view, const Collection& collection,
                                                     const Hash128& content, NumericMode mode,
                                                     std::size_t limit) const override;
  Status read_vectors(const View& view, const Collection& collection,
                      std::span<const std::uint64_t> ids, int width, float* out) const override;
  Status scan_rows(const View& view, const Collection& collection, std::uint64_t first_row_id,
                   const std::function<bool(const Row&)>& visit) const override;
  Result<TermTotals> term_totals(const View& view, const Collection& collection) const override;
  Status scan_postings(const View& view, const Collection& collection, std::string_view term,
                       TermForms forms, std::uint64_t first_row_id,
                       const std::function<void(const Posting&)>& visit) const override;
  Status scan_terms(const View& view, const Collection& collection, std::string_view prefix,
                    const std::function<void(std::string_view term)>& visit) const override;
  Result<std::optional<Changes>> changes_since(const View& view, const Collection& collection,
                                               std::uint64_t sequence,
                                               const Hash128& digest) const override;
  Result<VerifyReport> verify(std::stop_token stop) const override;
  Status compact(std::mutex& writing) override;
  Result<ErasureReport> find_traces(const std::string& collection, const std::string& key,
                                    const std::vector<std::string>& texts,
                                    std::stop_token stop) const override;
  std::int64_t disk_bytes() const override;
  Memory memory() const override;
  const std::string& path() const override { return path_; }
  bool read_only() const override { return !writer_; }
  std::string cache_folder() const override { return path_ + "/cache"; }
  Result<bool> refresh() override;

 private:
  class PlannedCommit;

  // The newest state of RocksDB itself, for building on. REQUIRES: open for writing.
  RecordSource newest() const { return {*db_, nullptr}; }
  RecordSource at(const View& view) const;
  std::shared_ptr<rocksdb::DB> db() const;
  void spare_the_next_open() const;
  // Until no snapshot is older than that one.
  Status wait_for_older_views(rocksdb::SequenceNumber snapshot) const;
  Status forget_old_files();
  // In store_compaction.cc.
  template <typename Work>
  Status ending_writes_on_exception(std::mutex& writing, const Work& work);
  Status check_process() const;
  Status check_writable() const;
  // The current view keeps its state whatever is written next. Errors: kOutOfMemory.
  Status pin_current_view();
  // Synced write and watermark. Whatever goes wrong closes the store for writing.
  Status write(rocksdb::WriteBatch& batch, std::uint64_t sequence);
  // `plan` (a function of CommitPlan&, to Status) gathers the change; kUnlessEmpty: where that is
  // nothing, nothing is to be committed. In planned_commit.h.
  enum When { kAlways, kUnlessEmpty };
  template <typename Plan>
  Result<PreparedPointer> plan_commit(CollectionRecord record, StoreState state, When when,
                                      const Plan& plan);
  // The first batch of build_postings, and each of the others.
  Result<PreparedPointer> plan_clearing(const CollectionRecord& record,
                                        const std::string& analysis);
  Result<PreparedPointer> plan_postings(const std::string& collection, const TermMaker& make,
                                        std::string& after, bool& done);
  Result<CollectionRecord> require_collection(const std::string& name) const;
  // A collection with nothing in it, under the next id, and the state with that id taken.
  CollectionRecord new_record(const CollectionDescriptor& descriptor, StoreState& state) const;
  // Puts the collection's name before a failure that knows only its number.
  Status named(const Status& status, const View& view, std::uint32_t collection) const;
  // Calls `visit(position in ids, key, value)` in the order of the ids' values.
  Status visit_rows(
      const View& view, const Collection& collection, std::span<const std::uint64_t> ids,
      const std::function<Status(std::size_t, std::string_view, std::string_view)>& visit) const;

  // Every call from outside: refused after a fork, and nothing is thrown out of it.
  template <typename Work>
  auto guarded(Work&& work) const -> decltype(work()) {
    if (Status status = check_process(); !status.ok()) return status;
    return catching_exceptions(std::forward<Work>(work));
  }

  const std::string path_;
  const pid_t process_;
  const std::uint64_t database_id_;
  const std::int64_t memory_bytes_;
  std::optional<Writer> writer_;  // before db_: the lock outlives the closing of RocksDB
  RocksdbPointer db_;             // shared with the views: a refresh replaces a reader's
  StoreState state_;
  Status write_failure_;      // ok while writing is possible
  mutable std::mutex mutex_;  // guards current_, and db_ of a reader
  std::shared_ptr<RocksdbView> current_;
};

}  // namespace nestor::storage
