// The store against a std::map: any sequence of batches leaves both equal, and an index cache of
// any earlier state catches up to the present one.
#include <doctest/doctest.h>

#include <random>
#include <set>

#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::must_commit;
using testing::must_open;
using testing::TempFolder;

namespace {

struct Checkpoint {
  std::uint64_t sequence = 0;
  Hash128 digest;
  std::set<std::uint64_t> rows;
};

class ModelRun {
 public:
  explicit ModelRun(std::uint64_t seed) : random_(seed), store_(must_open(folder_ / "db")) {
    REQUIRE(store_->create_collection("default", 0, false).ok());
    REQUIRE(store_->create_collection("other", 0, false).ok());
    remember();
  }

  void step() {
    const std::uint64_t kind = random_() % 10;
    if (kind == 0) {
      store_.reset();
      store_ = must_open(folder_ / "db");
    } else if (kind == 1) {
      REQUIRE(store_->set_attribute("default", "n", std::to_string(random_())).ok());
    } else if (kind == 2) {
      must_commit(*store_, testing::make_batch({testing::make_write(random_key(), "elsewhere")}, {},
                                               "other"));
    } else {
      commit_random_batch();
    }
    remember();
  }

  void check() {
    CHECK(testing::texts_of(*store_) == texts_);
    std::set<std::uint64_t> model;
    for (const auto& [key, rows] : rows_) model.insert(rows.begin(), rows.end());
    CHECK(checkpoints_.back().rows == model);
    const auto view = store_->view();
    const Collection collection = testing::collection_of(*store_);
    const Checkpoint& then = checkpoints_[random_() % checkpoints_.size()];
    const auto changes = store_->changes_since(*view, collection, then.sequence, then.digest);
    REQUIRE(changes.ok());
    REQUIRE(changes.value().has_value());
    std::set<std::uint64_t> caught_up = then.rows;
    const Status scanned = store_->scan_rows(*view, collection, changes.value()->first_new_row_id,
                                             [&](const Row& row) {
                                               caught_up.insert(row.id);
                                               return true;
                                             });
    CHECK(scanned.ok());
    for (const std::uint64_t id : changes.value()->removed_row_ids) caught_up.erase(id);
    CHECK(caught_up == model);
  }

  void check_all() { testing::check_verifies(*store_); }

 private:
  std::string random_key() { return "key" + std::to_string(random_() % 12); }

  void commit_random_batch() {
    std::vector<DocumentWrite> writes;
    std::vector<std::string> removals;
    std::set<std::string> used;
    for (std::uint64_t left = random_() % 6; left > 0; --left) {
      const std::string key = random_key();
      if (!used.insert(key).second) continue;
      if (random_() % 3 == 0) {
        removals.push_back(key);
      } else {
        const int row_count = static_cast<int>(1 + random_() % 4);
        writes.push_back(testing::make_write(key, std::string(random_() % 40, 'x'), row_count,
                                             static_cast<float>(random_() % 100)));
      }
    }
    const Commit commit = must_commit(*store_, testing::make_batch(writes, removals));
    std::int64_t removed = 0;
    for (const std::string& key : removals) {
      removed += static_cast<std::int64_t>(texts_.erase(key));
      rows_.erase(key);
    }
    CHECK(commit.removed_documents == removed);
    auto next_id = commit.row_ids.begin();
    for (const DocumentWrite& write : writes) {
      texts_[write.document.key] = write.document.text;
      const auto end = next_id + static_cast<std::ptrdiff_t>(write.rows.size());
      rows_[write.document.key] = {next_id, end};
      next_id = end;
    }
  }

  void remember() {
    const Collection collection = testing::collection_of(*store_);
    const auto ids = testing::row_ids_of(*store_, collection);
    checkpoints_.push_back({.sequence = collection.sequence,
                            .digest = collection.digest,
                            .rows = {ids.begin(), ids.end()}});
  }

  TempFolder folder_;
  std::mt19937_64 random_;
  std::unique_ptr<DocumentStore> store_;
  std::map<std::string, std::string> texts_;
  std::map<std::string, std::vector<std::uint64_t>> rows_;
  std::vector<Checkpoint> checkpoints_;
};

}  // namespace

TEST_CASE(
    "any sequence of batches equals a map, and any earlier state catches up with the journal") {
  const std::uint64_t seed = testing::test_seed("store model");
  for (std::uint64_t sequence = 0; sequence < 8; ++sequence) {
    CAPTURE(seed);
    ModelRun run(seed + sequence);
    for (int i = 0; i < 40; ++i) {
      run.step();
      run.check();
    }
    run.check_all();
  }
}

}  // namespace nestor::storage
