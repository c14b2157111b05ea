#include "storage/journal.h"

#include <doctest/doctest.h>

#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::TempFolder;

namespace {

// A collection that only has a journal, in a RocksDB of its own and without synced writes.
class BareJournal {
 public:
  BareJournal() {
    auto opened = open_rocksdb(folder_ / "rocksdb", OpenMode::kCreate);
    REQUIRE(opened.ok());
    db_ = std::move(opened).value();
    record_.collection.id = 1;
    record_.collection.name = "c";
  }
  // One batch that removes `removed` rows and adds one.
  void append(std::size_t removed) {
    Collection& collection = record_.collection;
    const std::uint64_t sequence = collection.sequence + 1;
    collection.digest = {.low = sequence, .high = 7};
    const JournalEntry entry{.sequence = sequence,
                             .previous_sequence = collection.sequence,
                             .first_new_row_id = collection.next_row_id++,
                             .digest = collection.digest,
                             .removed_row_ids = std::vector<std::uint64_t>(removed, sequence)};
    collection.sequence = sequence;
    rocksdb::WriteBatch batch;
    REQUIRE(append_journal(source(), entry, record_, batch).ok());
    REQUIRE(db_->Write({}, &batch).ok());
  }
  [[nodiscard]] RecordSource source() const { return {*db_, nullptr}; }
  [[nodiscard]] const CollectionRecord& record() const { return record_; }
  [[nodiscard]] std::optional<Changes> since(std::uint64_t sequence, std::uint64_t low) const {
    auto changes = read_changes(source(), record_.collection, sequence, {.low = low, .high = 7});
    REQUIRE(changes.ok());
    return changes.value();
  }
  rocksdb::DB& db() { return *db_; }

 private:
  TempFolder folder_;
  RocksdbPointer db_;
  CollectionRecord record_;
};

}  // namespace

TEST_CASE("the journal keeps its newest 1,000 entries and stays whole") {
  BareJournal journal;
  for (int i = 0; i < 1'203; ++i) {
    journal.append(2);
    if (i % 400 == 0) CHECK(check_journal(journal.source(), journal.record()).ok());
  }
  CHECK(journal.record().journal ==
        JournalExtent{.first_sequence = 204, .entry_count = 1'000, .removed_count = 2'000});
  CHECK(check_journal(journal.source(), journal.record()).ok());
  CHECK_FALSE(journal.since(203, 203).has_value());
  const auto changes = journal.since(204, 204);
  REQUIRE(changes.has_value());
  CHECK(changes->removed_row_ids.size() == 999 * 2);
  CHECK(changes->first_new_row_id == 205);
}

TEST_CASE("batches that remove many rows push older entries out, the newest always stays") {
  BareJournal journal;
  for (int i = 0; i < 5; ++i) journal.append(60'000);
  CHECK(journal.record().journal ==
        JournalExtent{.first_sequence = 3, .entry_count = 3, .removed_count = 180'000});
  journal.append(500'000);
  CHECK(journal.record().journal ==
        JournalExtent{.first_sequence = 6, .entry_count = 1, .removed_count = 500'000});
  CHECK(check_journal(journal.source(), journal.record()).ok());
  journal.append(1);
  CHECK(journal.record().journal.entry_count == 1);
  CHECK(check_journal(journal.source(), journal.record()).ok());
}

TEST_CASE("a cache of the present, of another history or of the future is told apart") {
  BareJournal journal;
  for (int i = 0; i < 5; ++i) journal.append(1);
  const auto present = journal.since(5, 5);
  REQUIRE(present.has_value());
  CHECK(present->removed_row_ids.empty());
  CHECK(present->first_new_row_id == journal.record().collection.next_row_id);
  CHECK_FALSE(journal.since(3, 4).has_value());
  CHECK_FALSE(journal.since(6, 6).has_value());
  CHECK_FALSE(journal.since(0, 0).has_value());
}

TEST_CASE("a gap, a missing head and a missing tail of the journal are data loss") {
  for (const std::uint64_t lost : {1, 3, 5}) {
    BareJournal journal;
    for (int i = 0; i < 5; ++i) journal.append(1);
    REQUIRE(check_journal(journal.source(), journal.record()).ok());
    REQUIRE(journal.db().Delete({}, journal_key(1, lost)).ok());
    CHECK(check_journal(journal.source(), journal.record()).code() == StatusCode::kDataLoss);
  }
}

}  // namespace nestor::storage
