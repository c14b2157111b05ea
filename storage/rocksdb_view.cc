#include "storage/rocksdb_view.h"

#include <cstddef>
#include <exception>
#include <new>

namespace nestor::storage {

RocksdbView::~RocksdbView() {
  // After a fork RocksDB's mutexes may be held by threads that are not here.
  if (process_ != ::getpid()) {
    leave_to_parent(db_);
    return;
  }
  const rocksdb::Snapshot* const held = snapshot_;
  if (held == nullptr) return;
  try {
    db_->ReleaseSnapshot(held);
  } catch (const std::exception&) {
    // It asks for compactions then, which may find no memory; they come with the next snapshot.
  }
}

const rocksdb::Snapshot* RocksdbView::snapshot() const {
  if (read_only_) return nullptr;
  if (const rocksdb::Snapshot* held = snapshot_.load(std::memory_order_acquire)) return held;
  const std::lock_guard lock(mutex_);
  if (snapshot_ == nullptr) snapshot_.store(db_->GetSnapshot(), std::memory_order_release);
  return snapshot_;
}

void leave_to_parent(std::shared_ptr<rocksdb::DB>& db) {
  // Never destroyed, and without an allocation: this is called from destructors.
  alignas(std::shared_ptr<rocksdb::DB>) std::byte left[sizeof(std::shared_ptr<rocksdb::DB>)];
  ::new (left) std::shared_ptr<rocksdb::DB>(std::move(db));
}

}  // namespace nestor::storage
