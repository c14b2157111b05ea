// One batch in the making: reads what it replaces, so that counts and digest go along, and gathers
// everything into one atomic RocksDB batch.
// Threads: one.
#pragma once

#include <rocksdb/write_batch.h>

#include <string>
#include <vector>

#include "nestor/status.h"
#include "storage/damaged_removal.h"
#include "storage/document_store.h"
#include "storage/field_index.h"
#include "storage/record_codec.h"
#include "storage/record_source.h"
#include "storage/term_index.h"

namespace nestor::storage {

// Errors: kInvalidArgument (a key, a range, a vector that cannot be stored, named), kModelMismatch
// (another width or space, both named).
Status check_batch(const Batch& batch, const Collection& collection);
// Errors: kInvalidArgument (the name, a dimension, a metric without user vectors).
Status check_descriptor(const CollectionDescriptor& descriptor);

class CommitPlan {
 public:
  // `source` reads the newest state and must outlive the plan.
  CommitPlan(const RecordSource& source, CollectionRecord record, StoreState state);

  // Everything of the batch. Damaged records may be replaced and removed (damaged_removal.h), but
  // not get new metadata. Errors: kDataLoss, kInvalidArgument (too large).
  Status add(const Batch& batch);
  // Says that the collection is new: what is derived from its documents is complete.
  void begin_collection();
  void set_attribute(const std::string& name, const std::string& value);
  // For postings alone, of rows that are there already.
  [[nodiscard]] TermWriter& terms() { return terms_; }
  // Collection, journal and state records. To be called once, last. Errors: kDataLoss.
  Status finish();

  // Nothing was written or removed: there is nothing to commit.
  [[nodiscard]] bool empty() const { return batch_.Count() == 0; }
  [[nodiscard]] rocksdb::WriteBatch& batch() { return batch_; }
  [[nodiscard]] const StoreState& state() const { return state_; }
  [[nodiscard]] Commit& commit() { return commit_; }
  [[nodiscard]] const Commit& commit() const { return commit_; }

 private:
  // False where the key was not there.
  Result<bool> take_away(const std::string& key);
  // What a readable document and its rows are, or kDataLoss; nothing is changed yet.
  Status read_old(const std::string& record_key, const std::string& value, StoredDocument& old,
                  std::vector<Row>& rows, std::vector<std::string>& row_values) const;
  Status write(const DocumentWrite& write);
  Status check_size(std::size_t document_count);
  Status change_metadata(const MetadataWrite& change);
  void count_row(const Row& row, std::int64_t sign);

  const RecordSource& source_;
  CollectionRecord record_;
  StoreState state_;
  rocksdb::WriteBatch batch_;
  FieldChanges fields_;  // into batch_ at the end
  Commit commit_;
  TermWriter terms_;
  DamagedRemoval damaged_;
  std::uint64_t first_new_row_id_ = 0;
};

}  // namespace nestor::storage
