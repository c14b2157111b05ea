// Keeping a database in order: repair from the outside, compaction, erasure and its proof.
#include "nestor/maintenance.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "query/open_database.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

namespace fs = std::filesystem;

Database open_at(const std::string& path, OpenOptions options = {}) {
  auto opened = query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::vector<Document> documents(int first, int count) {
  std::vector<Document> made;
  for (int i = first; i < first + count; ++i) {
    const std::string n = std::to_string(i);
    made.push_back({.key = "document-" + n,
                    .title = "title" + n,
                    .text = "common words and numeral" + n + " " + std::string(200, 'a' + i % 26),
                    .metadata = {{"field", "value" + n}}});
  }
  return made;
}

std::int64_t disk_bytes(const Database& db) { return db.stats().value().disk_bytes; }

std::string joined(const std::vector<std::string>& sentences) {
  std::string all;
  for (const std::string& sentence : sentences) all += sentence + "\n";
  return all;
}

ErasureReport traces(const Database& db, const std::string& key,
                     const std::vector<std::string>& texts = {}) {
  const auto report = db.verify_erased(key, texts);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return report.value();
}

void check_clean(const Database& db) {
  const auto report = db.verify();
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK_MESSAGE(report.value().problems.empty(), joined(report.value().problems));
}

}  // namespace

TEST_CASE("erase leaves no byte of a document, and the proof sees it before and not after") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const std::vector<std::string> texts = {"numeral77 ", "title77", "value77"};
  {
    auto db = open_at(path);
    REQUIRE(db.add(documents(0, 1'500)).ok());  // enough for codes and cached rows
    REQUIRE(db.search("numeral77").ok());
    REQUIRE(db.close().ok());
  }
  {
    auto db = open_at(path);
    CHECK_FALSE(traces(db, "document-77").findings.empty());  // it is there
    REQUIRE(db.remove({"document-77"}).value() == 1);
    CHECK(db.get("document-77").status().code() == StatusCode::kNotFound);  // hidden at once
    const ErasureReport hidden = traces(db, "document-77", texts);
    CHECK(hidden.findings.size() >= 5);
    REQUIRE(db.close().ok());
  }
  auto db = open_at(path);
  CHECK_FALSE(traces(db, "document-77", texts).findings.empty());
  const auto erased = db.remove({"document-77"}, {.erase = true});  // also what went before
  REQUIRE_MESSAGE(erased.ok(), erased.status().to_string());
  const ErasureReport after = traces(db, "document-77", texts);
  CHECK_MESSAGE(after.findings.empty(), joined(after.findings));
  CHECK(after.records > 1'500);
  CHECK(after.files >= 3);
  CHECK(db.search("numeral78").ok());
  check_clean(db);
  REQUIRE(db.close().ok());
  const ErasureReport closed = traces(open_at(path, {.read_only = true}), "document-77", texts);
  CHECK_MESSAGE(closed.findings.empty(), joined(closed.findings));
}

TEST_CASE("a short key is told apart from the same letters elsewhere") {
  const TempFolder folder;
  auto db = open_at(folder / "db");
  REQUIRE(db.add({{.key = "a", .text = "an apple"}, {.key = "b", .text = "a banana"}}).ok());
  REQUIRE(db.remove({"a"}, {.erase = true}).value() == 1);
  const ErasureReport report = traces(db, "a", {"an apple", "banana"});
  CHECK_MESSAGE(report.findings.empty(), joined(report.findings));
  CHECK_FALSE(report.notes.empty());  // the other document's banana
  CHECK(db.verify_erased("").status().code() == StatusCode::kInvalidArgument);
  CHECK(db.verify_erased("a", {""}).status().code() == StatusCode::kInvalidArgument);
  CHECK(db.verify_erased("a", {}, "none").status().code() == StatusCode::kNotFound);
}

TEST_CASE("the old version of a replaced document is erased too") {
  const TempFolder folder;
  auto db = open_at(folder / "db");
  REQUIRE(db.add({{.key = "k", .text = "the secret zanzibar"}}).ok());
  REQUIRE(db.add({{.key = "k", .text = "nothing to see"}}).ok());
  const auto left = db.verify_erased("other-key", {"zanzibar"});
  REQUIRE(left.ok());
  CHECK_FALSE(left.value().findings.empty());
  REQUIRE(db.compact().ok());
  const ErasureReport report = traces(db, "other-key", {"zanzibar"});
  CHECK_MESSAGE(report.findings.empty(), joined(report.findings));
}

TEST_CASE("compact gives disk space back and changes no answer") {
  const TempFolder folder;
  auto db = open_at(folder / "db");
  REQUIRE(db.add(documents(0, 600)).ok());
  std::vector<std::string> gone;
  for (int i = 100; i < 600; ++i) gone.push_back("document-" + std::to_string(i));
  REQUIRE(db.remove(gone).value() == 500);
  const std::int64_t before = disk_bytes(db);
  const auto report = db.compact();
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().bytes_before == before);
  CHECK(report.value().bytes_after < before / 2);
  MESSAGE(before << " bytes before, " << report.value().bytes_after << " after");
  CHECK(db.search("numeral7").value().hits.front().key == "document-7");
  CHECK(db.add(documents(1'000, 10)).ok());
  check_clean(db);
  CHECK(open_at(folder / "db", {.read_only = true}).compact().status().code() ==
        StatusCode::kFailedPrecondition);
}

TEST_CASE(
    "repair from the outside: caches go, damage needs leave, the answers are those of what is "
    "kept") {
  const TempFolder folder;
  const std::string path = folder / "db";
  {
    auto db = open_at(path);
    REQUIRE(db.add(documents(0, 1'500)).ok());
    REQUIRE(db.search("numeral7").ok());
    REQUIRE(db.close().ok());
  }
  CHECK_FALSE(Database::repair(path).value().changed);
  for (const auto& entry : fs::directory_iterator(path + "/cache")) {
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(entry.file_size() / 2));
    file.put('\x5a');
    file.put('\x5b');
  }
  const auto noted = open_at(path, {.read_only = true}).verify();
  REQUIRE(noted.ok());
  CHECK(noted.value().problems.empty());
  CHECK_FALSE(noted.value().notes.empty());
  const auto caches = Database::repair(path);
  REQUIRE_MESSAGE(caches.ok(), caches.status().to_string());
  CHECK(caches.value().changed);
  CHECK(caches.value().lost.empty());
  CHECK(open_at(path, {.read_only = true}).verify().value().notes.empty());
  {
    auto raw = storage::open_rocksdb(path + "/rocksdb", storage::OpenMode::kWrite);
    REQUIRE(raw.ok());
    REQUIRE(raw.value()->Put({}, storage::document_key(1, "document-3"), "rubbish").ok());
    REQUIRE(raw.value()->Delete({}, storage::row_key(1, 21)).ok());
  }
  const auto refused = Database::repair(path);
  REQUIRE_MESSAGE(refused.ok(), refused.status().to_string());
  CHECK(refused.value().needs_accept_loss);
  CHECK_FALSE(refused.value().changed);
  const auto done = Database::repair(path, {.accept_loss = true});
  REQUIRE_MESSAGE(done.ok(), done.status().to_string());
  CHECK(done.value().documents_lost == 2);
  CHECK(done.value().documents_kept == 1'498);
  auto db = open_at(path);
  check_clean(db);
  CHECK(db.count().value() == 1'498);
  SearchOptions words{.mode = SearchMode::kKeyword};
  CHECK(db.search("numeral9", words).value().hits.front().key == "document-9");
  CHECK(db.search("numeral3", words).value().hits.empty());
  CHECK(db.count(Filter::parse("field = 'value4'").value()).value() == 1);
  CHECK(db.add(documents(3, 1)).value().documents_added == 1);
  check_clean(db);
}

TEST_CASE("a damaged document can be added over and removed by its key") {
  const TempFolder folder;
  const std::string path = folder / "db";
  {
    auto db = open_at(path);
    REQUIRE(db.add(documents(0, 5)).ok());
  }
  {
    auto raw = storage::open_rocksdb(path + "/rocksdb", storage::OpenMode::kWrite);
    REQUIRE(raw.ok());
    REQUIRE(raw.value()->Put({}, storage::document_key(1, "document-1"), "rubbish").ok());
    REQUIRE(raw.value()->Put({}, storage::document_key(1, "document-2"), "rubbish").ok());
    REQUIRE(raw.value()->Put({}, storage::row_key(1, 4), "rubbish").ok());
  }
  auto db = open_at(path);
  CHECK(db.get("document-1").status().code() == StatusCode::kDataLoss);
  const auto added = db.add(documents(1, 1));
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  CHECK(db.get("document-1").ok());
  const auto removed = db.remove({"document-2", "document-3"});
  REQUIRE_MESSAGE(removed.ok(), removed.status().to_string());
  CHECK(removed.value() == 2);
  check_clean(db);
  CHECK(db.count().value() == 3);
}
