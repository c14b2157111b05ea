// The second pass of a repair: hands what is kept to a batch (a new RocksDB) or what goes (in
// place), puts what goes into the lost folder first, and ends with collections, journal and state
// as the kept records make them. Threads: one.
#pragma once

#include <rocksdb/write_batch.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "nestor/status.h"
#include "storage/key_schema.h"
#include "storage/lost_folder.h"
#include "storage/repair_survey.h"
#include "storage/repair_verdict.h"

namespace nestor::storage {

class RepairWriter {
 public:
  struct Plan {
    const Survey& survey;
    const RepairVerdict& verdict;
    bool fresh = false;           // into an empty RocksDB; otherwise in place
    std::uint64_t watermark = 0;  // 0: none that can be read
    StoreFormat format;           // what the format record is to say
    std::function<std::string(std::uint32_t)> space_of = {};
  };
  // `flush` writes the batch when a new RocksDB's has grown, and clears it.
  RepairWriter(Plan plan, LostFolder& lost, std::function<Status(rocksdb::WriteBatch&)> flush)
      : plan_(std::move(plan)), lost_(lost), flush_(std::move(flush)) {}

  // Of every record, in order. Errors: those of the lost folder and of `flush`.
  Status on_record(std::string_view key, std::string_view value);
  // Everything that is not handed over by on_record; the last batch is then in batch().
  void finish();
  [[nodiscard]] rocksdb::WriteBatch& batch() { return batch_; }
  // Of the store afterwards. After finish().
  [[nodiscard]] const StoreState& state() const { return state_; }

 private:
  Status keep(std::string_view key, std::string_view value);
  Status drop(std::string_view key, std::string_view value);
  Status on_document(const SurveyedCollection& collection, std::string_view key,
                     std::string_view value);
  Status on_row(const SurveyedCollection& collection, std::string_view key, std::string_view value);
  void delete_range(KeyTag tag, std::uint32_t collection);
  void rewrite(const SurveyedCollection& collection, std::uint64_t sequence);

  const Plan plan_;
  LostFolder& lost_;
  const std::function<Status(rocksdb::WriteBatch&)> flush_;
  rocksdb::WriteBatch batch_;
  std::map<std::uint32_t, Collection> kept_;  // counts and digests
  StoreState state_;
};

}  // namespace nestor::storage
