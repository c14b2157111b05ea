// Repair: what verify finds is mended, what is gone is said before it goes, and nothing that can be
// read is lost on the way.
#include "storage/store_repair.h"

#include <doctest/doctest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <functional>

#include "storage/key_schema.h"
#include "storage/record_codec.h"
#include "storage/rocksdb_options.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;
using testing::texts_of;

namespace {

namespace fs = std::filesystem;

using Texts = std::map<std::string, std::string>;

// Documents key0, key1, … of two rows, with postings, of which most lie in tables.
Texts make_store(const std::string& path, int batches) {
  for (int i = 0; i < batches; ++i) {
    auto store = must_open(path);
    if (i == 0) REQUIRE(store->create_collection("default", 0, false).ok());
    const std::string key = "key" + std::to_string(i);
    Batch batch = make_batch({make_write(key, "text of " + key, 2)});
    batch.analysis = "1:auto";
    batch.writes[0].terms = {{.length = 1, .terms = {{key, {1}}}}, {.length = 1, .terms = {}}};
    must_commit(*store, batch);
  }
  StoreOptions reading;
  reading.read_only = true;
  return texts_of(*must_open(path, reading));
}

void with_raw_rocksdb(const std::string& path, const std::function<void(rocksdb::DB&)>& work) {
  auto db = open_rocksdb(path + "/rocksdb", OpenMode::kWrite);
  REQUIRE_MESSAGE(db.ok(), db.status().to_string());
  work(*db.value());
}

void flip(rocksdb::DB& db, const std::string& key) {
  std::string value;
  REQUIRE(db.Get({}, key, &value).ok());
  value[value.size() / 2] = static_cast<char>(value[value.size() / 2] ^ 4);
  REQUIRE(db.Put({}, key, value).ok());
}

RepairReport must_repair(const std::string& path, bool accept_loss) {
  auto report = repair_store(path, {.repair = {.accept_loss = accept_loss}});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return std::move(report).value();
}

bool mentions(const std::vector<std::string>& sentences, const std::string& part) {
  return std::any_of(sentences.begin(), sentences.end(),
                     [&](const std::string& sentence) { return contains(sentence, part); });
}

std::string joined(const std::vector<std::string>& sentences) {
  std::string all;
  for (const std::string& sentence : sentences) all += sentence + "\n";
  return all;
}

// Opens for writing, which makes what repair only took away; postings are the pipeline's.
void check_whole(const std::string& path) {
  auto store = must_open(path);
  const Status built = store->build_postings(
      "default", "1:auto",
      [](const StoredDocument&, std::span<const Row> rows) -> Result<std::vector<RowTerms>> {
        return std::vector<RowTerms>(rows.size());
      },
      {});
  CHECK_MESSAGE(built.ok(), built.to_string());
  testing::check_verifies(*store);
  must_commit(*store, make_batch({}, {}));
}

// Without leave nothing changes; with it the rest is there, verifies, and takes new documents.
void check_loss(const std::string& path, const Texts& kept, const std::string& what) {
  const auto before = testing::folder_bytes(path);
  const RepairReport refused = must_repair(path, false);
  CHECK(refused.needs_accept_loss);
  CHECK_FALSE(refused.changed);
  CHECK_MESSAGE(mentions(refused.lost, what), joined(refused.lost));
  CHECK(testing::folder_bytes(path) == before);
  const RepairReport done = must_repair(path, true);
  CHECK(done.changed);
  CHECK(done.lost == refused.lost);
  CHECK(fs::is_directory(done.set_aside));
  check_whole(path);
  CHECK(texts_of(*must_open(path)) == kept);
  CHECK(done.documents_kept == static_cast<std::int64_t>(kept.size()));
  CHECK_FALSE(must_repair(path, false).changed);
}

}  // namespace

TEST_CASE("a whole database is left as it is, to the byte") {
  const TempFolder folder;
  make_store(folder / "db", 3);
  const auto before = testing::folder_bytes(folder / "db");
  const RepairReport report = must_repair(folder / "db", true);
  CHECK_FALSE(report.changed);
  CHECK(report.documents_kept == 3);
  CHECK_MESSAGE(report.mended.empty(), joined(report.mended));
  CHECK(testing::folder_bytes(folder / "db") == before);
}

TEST_CASE("field index, postings, counts, state and journal are made again without leave to lose") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const Texts texts = make_store(path, 4);
  const std::map<std::string, std::function<void(rocksdb::DB&)>> damages = {
      {"field index",
       [](rocksdb::DB& db) {
         const std::string prefix = key_prefix(KeyTag::kField, 1) + '\1';
         std::unique_ptr<rocksdb::Iterator> iterator(db.NewIterator({}));
         iterator->Seek(prefix);
         REQUIRE(db.Delete({}, iterator->key()).ok());
       }},
      {"postings", [](rocksdb::DB& db) { REQUIRE(db.Delete({}, posting_key(1, "key2", 5)).ok()); }},
      {"last batch", [](rocksdb::DB& db) { flip(db, meta_key("state")); }},
      {"format", [](rocksdb::DB& db) { flip(db, meta_key("format")); }},
      {"journal", [](rocksdb::DB& db) { REQUIRE(db.Delete({}, journal_key(1, 3)).ok()); }},
      {"counts", [](rocksdb::DB& db) {
         std::string value;
         REQUIRE(db.Get({}, catalog_key("default"), &value).ok());
         CollectionRecord record = decode_collection(catalog_key("default"), value).value();
         record.collection.text_bytes += 1;
         REQUIRE(
             db.Put({}, catalog_key("default"), encode_collection(catalog_key("default"), record))
                 .ok());
       }}};
  for (const auto& [what, damage] : damages) {
    INFO(what);
    const std::string copy = folder / "copy";
    fs::remove_all(copy);
    fs::copy(path, copy, fs::copy_options::recursive);
    with_raw_rocksdb(copy, damage);
    const RepairReport report = must_repair(copy, false);
    CHECK_MESSAGE(report.lost.empty(), joined(report.lost));
    CHECK(report.changed);
    CHECK_MESSAGE(mentions(report.mended, what), joined(report.mended));
    check_whole(copy);
    CHECK(texts_of(*must_open(copy)) == texts);
  }
}

TEST_CASE("damaged documents and vectors go with leave only, and are set aside") {
  const TempFolder folder;
  const std::string path = folder / "db";
  Texts texts = make_store(path, 6);
  with_raw_rocksdb(path, [](rocksdb::DB& db) {
    flip(db, document_key(1, "key1"));
    flip(db, row_key(1, 5));                               // of key2
    REQUIRE(db.Delete({}, row_key(1, 8)).ok());            // of key3
    REQUIRE(db.Delete({}, document_key(1, "key4")).ok());  // rows 9, 10
    REQUIRE(db.Put({}, "zebra", "stripes").ok());
  });
  for (const char* key : {"key1", "key2", "key3", "key4"}) texts.erase(key);
  check_loss(path, texts, "document 'key2': 1 of its 2 vectors");
  const std::string lost = testing::files_with(path, "lost-").at(0);
  CHECK(contains(testing::read_bytes(lost + "/records"), "stripes"));
  CHECK(contains(testing::read_bytes(lost + "/records"), "text of key1"));
  const std::string lines = testing::read_bytes(lost + "/documents-default.jsonl");
  CHECK(contains(lines, R"({"key":"key2","title":"title of key2","text":"text of key2")"));
  CHECK(contains(lines, "key3"));
  CHECK_FALSE(contains(lines, "key0"));
}

TEST_CASE("a damaged record of a collection loses its settings, not its documents") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const Texts texts = make_store(path, 3);
  with_raw_rocksdb(path, [](rocksdb::DB& db) { flip(db, catalog_key("default")); });
  CHECK(must_repair(path, false).needs_accept_loss);
  StoreRepairOptions options{.repair = {.accept_loss = true}};
  options.space_of = [](std::uint32_t) { return std::string(64, 'a'); };
  REQUIRE(repair_store(path, options).ok());
  check_whole(path);
  CHECK(texts_of(*must_open(path)) == texts);
  CHECK(testing::collection_of(*must_open(path)).space == std::string(64, 'a'));
}

TEST_CASE("guards: NESTOR is made again, a missing WATERMARK needs leave") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const Texts texts = make_store(path, 3);
  fs::remove(path + "/NESTOR");
  CHECK(must_repair(path, false).changed);
  check_whole(path);
  fs::remove(path + "/WATERMARK");
  check_loss(path, texts, "WATERMARK is missing");
}

TEST_CASE("whatever file of RocksDB is lost, cut, zeroed or flipped: what can be read is kept") {
  const TempFolder folder;
  const std::string path = folder / "db";
  // RocksDB makes one table of four: as many batches as leave several and a log.
  Texts texts;
  fs::create_directories(path + "/rocksdb");
  for (int batches = 4; testing::files_with(path + "/rocksdb", ".sst").size() < 3; ++batches) {
    REQUIRE(batches < 12);
    fs::remove_all(path);
    texts = make_store(path, batches);
  }
  std::mt19937_64 random(testing::test_seed("repair of RocksDB's files"));
  int lossless = 0;
  int with_loss = 0;
  std::size_t tables_partly_read = 0;
  for (const auto& [name, bytes] : testing::folder_bytes(path + "/rocksdb")) {
    if (bytes.empty() || contains(name, "LOCK") || contains(name, "LOG") ||
        contains(name, "OPTIONS")) {
      continue;
    }
    for (int kind = 0; kind < 5; ++kind) {
      INFO(name << ", kind " << kind);
      const std::string copy = folder / "copy";
      fs::remove_all(copy);
      fs::copy(path, copy, fs::copy_options::recursive);
      std::string damaged = bytes;
      const std::size_t place = random() % bytes.size();
      if (kind == 0) fs::remove(copy + "/rocksdb/" + name);
      if (kind == 1) damaged.resize(place);
      if (kind == 2) damaged.clear();
      if (kind == 3)
        std::fill(damaged.begin() + static_cast<std::ptrdiff_t>(place), damaged.end(), '\0');
      if (kind == 4) damaged[place] = static_cast<char>(damaged[place] ^ (1 << random() % 8));
      if (kind != 0) testing::write_bytes(copy + "/rocksdb/" + name, damaged);
      const auto tried = repair_store(copy, {});
      if (!tried.ok()) {  // the table of all the old batches, and what it says of the format
        CHECK_MESSAGE(tried.status().code() == StatusCode::kDataLoss, tried.status().to_string());
        continue;
      }
      const RepairReport& first = tried.value();
      if (first.needs_accept_loss) {
        ++with_loss;
        CHECK(must_repair(copy, true).changed);
      } else {
        ++lossless;
      }
      check_whole(copy);
      const Texts kept = texts_of(*must_open(copy));
      if (!first.needs_accept_loss) CHECK(kept == texts);
      for (const auto& [key, text] : kept) CHECK(texts.at(key) == text);
      if (!contains(name, ".sst"))
        CHECK_MESSAGE(kept.size() + 1 >= texts.size(), joined(first.lost));
      if (contains(name, ".sst") && !kept.empty()) ++tables_partly_read;
    }
  }
  MESSAGE(lossless << " without loss, " << with_loss << " with leave");
  CHECK(lossless >= 8);
  CHECK(tables_partly_read >= 8);
}

TEST_CASE("a repair that died among its renames is finished by the next one") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const Texts texts = make_store(path, 3);
  for (int step = 0; step < 3; ++step) {
    INFO(step);
    const std::string copy = folder / "copy";
    fs::remove_all(copy);
    fs::copy(path, copy, fs::copy_options::recursive);
    fs::create_directories(copy + "/lost-1");
    fs::create_directories(copy + "/repair.tmp");
    fs::copy(copy + "/rocksdb", copy + "/repair.tmp/rocksdb", fs::copy_options::recursive);
    fs::copy(copy + "/WATERMARK", copy + "/repair.tmp/WATERMARK");
    testing::write_bytes(copy + "/REPAIR", "lost-1");
    if (step > 0) fs::rename(copy + "/rocksdb", copy + "/lost-1/rocksdb");
    if (step > 1) fs::rename(copy + "/repair.tmp/rocksdb", copy + "/rocksdb");
    const Status refused = testing::open_status(copy);
    CHECK(refused.code() == StatusCode::kDataLoss);
    CHECK(contains(refused.message(), "nestor repair"));
    CHECK(must_repair(copy, false).changed);
    CHECK(fs::exists(copy + "/lost-1/rocksdb/CURRENT"));
    CHECK_FALSE(fs::exists(copy + "/repair.tmp"));
    check_whole(copy);
    CHECK(texts_of(*must_open(copy)) == texts);
  }
}

TEST_CASE("a repair beside a writer is told who holds the database") {
  const TempFolder folder;
  make_store(folder / "db", 1);
  const auto store = must_open(folder / "db");
  const Status status = repair_store(folder / "db", {}).status();
  CHECK(status.code() == StatusCode::kLocked);
  CHECK(contains(status.message(), "pid"));
}

TEST_CASE("a folder without a database is not found, a missing rocksdb is beyond repair") {
  const TempFolder folder;
  CHECK(repair_store(folder / "none", {}).status().code() == StatusCode::kNotFound);
  make_store(folder / "db", 1);
  fs::remove_all(folder / "db/rocksdb");
  CHECK(repair_store(folder / "db", {}).status().code() == StatusCode::kDataLoss);
}

TEST_CASE("a damaged document can be replaced and removed, and all sums fit afterwards") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const Texts texts = make_store(path, 5);
  const auto damage = [](rocksdb::DB& db) {
    flip(db, document_key(1, "key1"));
    flip(db, row_key(1, 5));                      // of key2
    flip(db, document_terms_key(1, 7));           // of key3
    REQUIRE(db.Delete({}, row_key(1, 10)).ok());  // of key4
  };
  with_raw_rocksdb(path, damage);
  for (const bool replace : {true, false}) {
    const std::string copy = folder / "copy";
    fs::remove_all(copy);
    fs::copy(path, copy, fs::copy_options::recursive);
    {
      auto store = must_open(copy);
      Batch batch = make_batch({}, {});
      for (const char* key : {"key1", "key2", "key3", "key4"}) {
        if (replace) {
          batch.writes.push_back(make_write(key, "new"));
        } else {
          batch.removals.push_back(key);
        }
      }
      batch.analysis = "1:auto";
      const Commit commit = must_commit(*store, batch);
      CHECK(commit.removed_row_ids.size() == 7);
      testing::check_verifies(*store);
      CHECK(texts_of(*store).size() == (replace ? 5U : 1U));
    }
    testing::check_verifies(*must_open(copy));
  }
}

}  // namespace nestor::storage
