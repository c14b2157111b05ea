// RocksdbStore::PlannedCommit: a change that is gathered in a CommitPlan, with the view that will
// be the state after it. Threads: one.
#pragma once

#include <memory>
#include <utility>

#include "core/macros.h"
#include "storage/commit_plan.h"
#include "storage/rocksdb_store.h"
#include "storage/rocksdb_view.h"

namespace nestor::storage {

class RocksdbStore::PlannedCommit final : public DocumentStore::PreparedCommit {
 public:
  PlannedCommit(const RecordSource& source, CollectionRecord record, StoreState state)
      : source_(source), plan_(source_, std::move(record), state) {}
  PlannedCommit(const PlannedCommit&) = delete;
  PlannedCommit& operator=(const PlannedCommit&) = delete;

  [[nodiscard]] const Commit& commit() const override { return plan_.commit(); }
  [[nodiscard]] bool empty() const override { return next_ == nullptr; }
  [[nodiscard]] const ViewPointer& view() const override { return view_; }

  [[nodiscard]] CommitPlan& plan() { return plan_; }
  // Nothing is to be written: the state stays as it is.
  void stay(const Collection& collection, std::uint64_t sequence, ViewPointer view) {
    plan_.commit().collection = collection;
    plan_.commit().sequence = sequence;
    view_ = std::move(view);
  }
  // To be called once, last. Errors: those of CommitPlan::finish.
  Status finish(const std::shared_ptr<rocksdb::DB>& db) {
    NESTOR_RETURN_IF_ERROR(plan_.finish());
    next_ = std::make_shared<RocksdbView>(db, false, plan_.state().sequence);
    view_ = next_;
    return {};
  }
  std::shared_ptr<RocksdbView> take_view() { return next_; }

 private:
  const RecordSource source_;
  CommitPlan plan_;
  std::shared_ptr<RocksdbView> next_;  // null: empty
  ViewPointer view_;
};

template <typename Plan>
Result<DocumentStore::PreparedPointer> RocksdbStore::plan_commit(CollectionRecord record,
                                                                 StoreState state, When when,
                                                                 const Plan& plan) {
  const Collection before = record.collection;
  auto planned = std::make_unique<PlannedCommit>(newest(), std::move(record), state);
  NESTOR_RETURN_IF_ERROR(plan(planned->plan()));
  if (when == kUnlessEmpty && planned->plan().empty()) {
    planned->stay(before, state_.sequence, view());
  } else {
    NESTOR_RETURN_IF_ERROR(planned->finish(db_));
  }
  return PreparedPointer(std::move(planned));
}

}  // namespace nestor::storage
