// The content index: in step with the rows, checked both ways, made again, and gone with them.
#include "storage/content_index.h"

#include <doctest/doctest.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>

#include "storage/key_schema.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "storage/store_repair.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;

namespace {

using Ids = std::vector<std::uint64_t>;

std::unique_ptr<DocumentStore> new_store(const std::string& path) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  return store;
}

Ids rows_of(const DocumentStore& store, const std::string& content,
            NumericMode mode = NumericMode::kF32, std::size_t limit = 100) {
  const auto ids = store.rows_of_content(*store.view(), testing::collection_of(store),
                                         hash128(content), mode, limit);
  REQUIRE_MESSAGE(ids.ok(), ids.status().to_string());
  return ids.value();
}

void with_raw(const std::string& path, const std::function<void(rocksdb::DB&)>& work) {
  auto db = open_rocksdb(path + "/rocksdb", OpenMode::kWrite);
  REQUIRE_MESSAGE(db.ok(), db.status().to_string());
  work(*db.value());
}

std::vector<std::string> problems_of(const std::string& path) {
  StoreOptions options;
  options.read_only = true;
  return must_open(path, options)->verify({}).value().problems;
}

std::string record_of(const std::string& content, std::uint64_t row_id) {
  return content_key(1, content_bytes(hash128(content), NumericMode::kF32), row_id);
}

}  // namespace

TEST_CASE("rows are found by content while they are there, lowest id first") {
  TempFolder folder;
  auto store = new_store(folder / "db");
  must_commit(*store, make_batch({make_write("a", "one", 2), make_write("b", "one")}));
  CHECK(rows_of(*store, "one") == Ids{1, 2, 3});
  CHECK(rows_of(*store, "one", NumericMode::kF32, 2) == Ids{1, 2});
  CHECK(rows_of(*store, "one", NumericMode::kBf16).empty());
  CHECK(rows_of(*store, "two").empty());
  must_commit(*store, make_batch({make_write("a", "two")}));
  CHECK(rows_of(*store, "one") == Ids{3});
  CHECK(rows_of(*store, "two") == Ids{4});
  must_commit(*store, make_batch({}, {"a", "b"}));
  CHECK(rows_of(*store, "one").empty());
  CHECK(rows_of(*store, "two").empty());
  testing::check_verifies(*store);
}

TEST_CASE(
    "metadata that changes leaves the index as it is, and vectors of a caller have no record") {
  TempFolder folder;
  auto store = new_store(folder / "db");
  DocumentWrite given = make_write("given", "text");
  given.rows.front().passage.mode = NumericMode::kExternal;
  must_commit(*store, make_batch({make_write("a", "one"), given}));
  Batch change = make_batch({});
  change.metadata_writes = {{"a", {{"year", 1}}}};
  must_commit(*store, change);
  CHECK(rows_of(*store, "one") == Ids{1});
  CHECK(rows_of(*store, "text", NumericMode::kExternal).empty());
  testing::check_verifies(*store);
}

TEST_CASE("verify finds a record that is missing, foreign or damaged, and repair makes them anew") {
  const std::vector<std::pair<const char*, std::function<void(rocksdb::DB&)>>> harms = {
      {"missing", [](rocksdb::DB& db) { REQUIRE(db.Delete({}, record_of("two", 2)).ok()); }},
      {"not there",
       [](rocksdb::DB& db) {
         Row row = make_write("x", "nothing").rows.front();
         row.id = 9;
         rocksdb::WriteBatch batch;
         put_content(1, row, batch);
         REQUIRE(db.Write({}, &batch).ok());
       }},
      {"another content",
       [](rocksdb::DB& db) {
         Row row = make_write("x", "nothing").rows.front();
         row.id = 1;
         rocksdb::WriteBatch batch;
         put_content(1, row, batch);
         REQUIRE(db.Write({}, &batch).ok());
       }},
      {"is damaged",
       [](rocksdb::DB& db) { REQUIRE(db.Put({}, record_of("two", 2), "\1damaged").ok()); }}};
  for (const auto& [what, harm] : harms) {
    CAPTURE(what);
    TempFolder folder;
    {
      auto store = new_store(folder / "db");
      must_commit(*store, make_batch({make_write("a", "one"), make_write("b", "two")}));
    }
    with_raw(folder / "db", harm);
    const auto problems = problems_of(folder / "db");
    REQUIRE(!problems.empty());
    const bool told =
        std::any_of(problems.begin(), problems.end(),
                    [&](const std::string& problem) { return contains(problem, what); });
    CHECK_MESSAGE(told, problems.front());
    const auto repaired = repair_store(folder / "db", {});
    REQUIRE_MESSAGE(repaired.ok(), repaired.status().to_string());
    CHECK(repaired.value().lost.empty());
    CHECK(contains(repaired.value().mended.front(), "content index"));
    auto store = must_open(folder / "db");
    testing::check_verifies(*store);
    CHECK(rows_of(*store, "two") == Ids{2});
  }
}

TEST_CASE("an older database gets its index when it is opened for writing, from where one died") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    auto store = new_store(path);
    must_commit(*store, make_batch({make_write("a", "one", 3), make_write("b", "two", 3)}));
  }
  const auto make_older = [&](const std::optional<ContentMarker>& marker) {
    Manifest manifest = *read_manifest(path).value();
    manifest.format_version = 2;
    REQUIRE(write_manifest(path, manifest).ok());
    with_raw(path, [&](rocksdb::DB& db) {
      const std::string prefix = key_prefix(KeyTag::kContent, 1);
      rocksdb::WriteBatch batch;
      REQUIRE(batch.DeleteRange(prefix, prefix_end(prefix)).ok());
      if (marker) put_content_marker(1, *marker, batch);
      REQUIRE(db.Write({}, &batch).ok());
    });
  };
  make_older(std::nullopt);
  CHECK(problems_of(path).empty());
  {
    auto store = must_open(path);
    CHECK(rows_of(*store, "one") == Ids{1, 2, 3});
    testing::check_verifies(*store);
    CHECK(read_manifest(path).value()->format_version == kFormatVersion);
  }
  // Rows below the mark count as done: that they have no records here shows where it went on.
  make_older(ContentMarker{.complete = false, .next_row_id = 3});
  CHECK(problems_of(path).empty());
  auto store = must_open(path);
  CHECK(rows_of(*store, "one") == Ids{3});
  CHECK(rows_of(*store, "two") == Ids{4, 5, 6});
}

TEST_CASE("a damaged row does not keep an older database from being opened for writing") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    auto store = new_store(path);
    must_commit(*store, make_batch({make_write("a", "one"), make_write("b", "two")}));
  }
  with_raw(path, [](rocksdb::DB& db) {
    REQUIRE(db.Put({}, row_key(1, 1), "\1damaged").ok());
    REQUIRE(db.Delete({}, key_prefix(KeyTag::kContent, 1)).ok());
  });
  auto store = must_open(path);
  CHECK(rows_of(*store, "one").empty());
  CHECK(rows_of(*store, "two") == Ids{2});
  // Removed with its document, though it cannot say what its content was.
  must_commit(*store, make_batch({}, {"a"}));
  testing::check_verifies(*store);
}

TEST_CASE("a damaged row that is removed leaves no record behind") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    auto store = new_store(path);
    must_commit(*store, make_batch({make_write("a", "one", 2), make_write("b", "two")}));
  }
  with_raw(path, [](rocksdb::DB& db) { REQUIRE(db.Put({}, row_key(1, 2), "\1damaged").ok()); });
  auto store = must_open(path);
  must_commit(*store, make_batch({}, {"a"}));
  CHECK(rows_of(*store, "one").empty());
  CHECK(rows_of(*store, "two") == Ids{3});
  testing::check_verifies(*store);
}

TEST_CASE("what is erased leaves no record of its content, and the proof looks for them") {
  TempFolder folder;
  auto store = new_store(folder / "db");
  must_commit(*store, make_batch({make_write("secret", "one", 2), make_write("b", "two")}));
  must_commit(*store, make_batch({}, {"secret"}));
  const auto before = store->find_traces("default", "secret", {}, {});
  REQUIRE(before.ok());
  const bool told = std::any_of(
      before.value().findings.begin(), before.value().findings.end(),
      [](const std::string& finding) { return contains(finding, "entries of the content index"); });
  CHECK(told);
  std::mutex writing;
  REQUIRE(store->compact(writing).ok());
  CHECK(store->find_traces("default", "secret", {}, {}).value().findings ==
        std::vector<std::string>{});
}

TEST_CASE(
    "a staging collection has an index of its own, and takes it along when it is swapped in") {
  TempFolder folder;
  auto store = new_store(folder / "db");
  must_commit(*store, make_batch({make_write("a", "one")}));
  REQUIRE(store->create_shadow("default").ok());
  Batch renewed = make_batch({make_write("a", "one")}, {}, ".reembed-1");
  renewed.space = std::string(64, 'b');
  must_commit(*store, renewed);
  REQUIRE(store->swap_in_shadow("default").ok());
  CHECK(rows_of(*store, "one") == Ids{1});
  CHECK(testing::collection_of(*store).id == 2);
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
