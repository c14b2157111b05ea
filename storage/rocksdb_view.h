// RocksdbView: one committed state of RocksDB. A read-only DB never changes and needs no snapshot;
// the view keeps it, and with it the files that its writer may have deleted, after a refresh. A
// writer's view takes its snapshot when it is first read, and at the latest before the next write,
// until when the newest state is the view's own: so what a commit makes visible needs no memory
// once the commit is on disk.
// Threads: safe anywhere.
#pragma once

#include <rocksdb/db.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "storage/document_store.h"

namespace nestor::storage {

class RocksdbView final : public DocumentStore::View {
 public:
  RocksdbView(std::shared_ptr<rocksdb::DB> db, bool read_only, std::uint64_t sequence)
      : db_(std::move(db)), read_only_(read_only), sequence_(sequence), process_(::getpid()) {}
  ~RocksdbView() override;
  RocksdbView(const RocksdbView&) = delete;
  RocksdbView& operator=(const RocksdbView&) = delete;

  [[nodiscard]] rocksdb::DB& db() const { return *db_; }
  // Null in a read-only DB. Throws std::bad_alloc. REQUIRES: a writer has called it before it
  // writes again.
  [[nodiscard]] const rocksdb::Snapshot* snapshot() const;
  [[nodiscard]] std::uint64_t sequence() const { return sequence_; }

 private:
  std::shared_ptr<rocksdb::DB> db_;
  const bool read_only_;
  mutable std::mutex mutex_;  // held while the snapshot is taken
  mutable std::atomic<const rocksdb::Snapshot*> snapshot_{nullptr};
  const std::uint64_t sequence_;
  const pid_t process_;
};

// What closing would wait for in a forked child is left to the parent.
void leave_to_parent(std::shared_ptr<rocksdb::DB>& db);

}  // namespace nestor::storage
