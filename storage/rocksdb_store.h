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

  using DocumentStore::create_collection;
  Result<Collection> create_collection(const std::string& name, int width, bool external,
                                       Metric metric) override;
  Status set_attribute(const std::string& collection, const std::string& name,
                       const std::string& value) override;
  Result<Commit> commit(const Batch& batch) override;
  Status build_postings(const std::string& collection, const std::string& analysis,
                        const TermMaker& make, std::stop_token stop) override;
  Result<Collection> create_shadow(const std::string& collection) override;
  Result<Collection> swap_in_shadow(const std::string& collection) override;
  Status drop_shadow(const std::string& collection) override;
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
  Result<std::vector<Row>> rows(const View& view, const Collection& collection,
                                std::span<const std::uint64_t> ids) const override;
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
  Status compact() override;
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
  // The newest state of RocksDB itself, for building on.
  RecordSource newest() const { return {*db_, nullptr}; }
  RecordSource at(const View& view) const;
  void spare_the_next_open() const;
  Status wait_for_old_views() const;
  Status check_process() const;
  Status check_writable() const;
  // Synced write, watermark, new view. Whatever goes wrong closes the store for writing.
  Status publish(rocksdb::WriteBatch& batch, const StoreState& state);
  Status build_postings_batch(const std::string& collection, const TermMaker& make,
                              std::string& after, bool& done);
  Result<CollectionRecord> require_collection(const std::string& name) const;
  // Publishes a collection with nothing in it, under the next id. `source`: the newest state.
  Result<Collection> begin_collection(const RecordSource& source, CollectionRecord record);
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
  mutable std::mutex mutex_;  // guards current_
  ViewPointer current_;
};

}  // namespace nestor::storage
