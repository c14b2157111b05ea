// Damage to every file of a database: found and named, or without effect; never silent, never a
// crash.
#include <doctest/doctest.h>
#include <rocksdb/db.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <limits>

#include "storage/key_schema.h"
#include "storage/record_codec.h"
#include "storage/rocksdb_options.h"
#include "storage/watermark.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::contains;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::open_status;
using testing::TempFolder;
using testing::texts_of;

namespace {

namespace fs = std::filesystem;

using Texts = std::map<std::string, std::string>;

Texts make_store(const std::string& path, int batches) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  for (int i = 0; i < batches; ++i) {
    const std::string key = "key" + std::to_string(i);
    must_commit(*store, make_batch({make_write(key, "text of " + key, 2)}));
  }
  return texts_of(*store);
}

// Opens the damaged copy as far as it goes. Right are: refused as data loss; or everything there;
// or verify finds what is wrong.
void check_never_silent(const std::string& path, const Texts& texts, const std::string& what) {
  INFO(what);
  for (const bool read_only : {true, false}) {
    StoreOptions options;
    options.read_only = read_only;
    auto opened = DocumentStore::open(path, options);
    if (!opened.ok()) {
      CHECK_MESSAGE(opened.status().code() == StatusCode::kDataLoss, opened.status().to_string());
      continue;
    }
    const auto report = opened.value()->verify({});
    REQUIRE(report.ok());
    if (report.value().problems.empty()) CHECK(texts_of(*opened.value()) == texts);
  }
}

void with_raw_rocksdb(const std::string& path, const std::function<void(rocksdb::DB&)>& work) {
  auto db = open_rocksdb(path + "/rocksdb", OpenMode::kWrite);
  REQUIRE_MESSAGE(db.ok(), db.status().to_string());
  work(*db.value());
}

void put_raw(rocksdb::DB& db, const std::string& key, const std::string& value) {
  REQUIRE(db.Put({}, key, value).ok());
}

std::string get_raw(rocksdb::DB& db, const std::string& key) {
  std::string value;
  REQUIRE(db.Get({}, key, &value).ok());
  return value;
}

std::vector<std::string> problems_of(const std::string& path) {
  StoreOptions options;
  options.read_only = true;
  auto report = must_open(path, options)->verify({});
  REQUIRE(report.ok());
  return report.value().problems;
}

bool mentions(const std::vector<std::string>& problems, const std::string& part) {
  return std::any_of(problems.begin(), problems.end(),
                     [&](const std::string& problem) { return contains(problem, part); });
}

// No file of this process may grow beyond the bytes given: writes fail as on a broken device.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileSizeLimit() { lift(); }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  void lift() const { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a watermark ahead of the store is data loss with both numbers, and nothing is changed") {
  const TempFolder folder;
  make_store(folder / "db", 4);
  const fs::path copy = folder / "copy";
  fs::copy(folder / "db", copy, fs::copy_options::recursive);
  {
    auto store = must_open(folder / "db");
    must_commit(*store, make_batch({make_write("later", "x")}));
  }
  fs::copy_file(folder / "db/WATERMARK", copy / "WATERMARK", fs::copy_options::overwrite_existing);
  const auto before = testing::folder_bytes(copy);
  for (const bool read_only : {false, true}) {
    StoreOptions options;
    options.read_only = read_only;
    const Status status = open_status(copy, options);
    CHECK(status.code() == StatusCode::kDataLoss);
    CHECK(contains(status.message(), "batch 6 was acknowledged"));
    CHECK(contains(status.message(), "up to 5"));
  }
  CHECK(testing::folder_bytes(copy) == before);
}

TEST_CASE("a flipped bit anywhere in the log is never silent, and the damaged log is kept") {
  const TempFolder folder;
  const Texts texts = make_store(folder / "db", 12);
  std::mt19937_64 random(testing::test_seed("log bit flips"));
  const auto logs = testing::files_with(folder / "db/rocksdb", ".log");
  REQUIRE(logs.size() == 1);
  const std::string name = fs::path(logs[0]).filename();
  const std::string bytes = testing::read_bytes(logs[0]);
  int refused = 0;
  for (int round = 0; round < 40; ++round) {
    const fs::path copy = folder / "copy";
    fs::remove_all(copy);
    fs::copy(folder / "db", copy, fs::copy_options::recursive);
    const std::uint64_t bit = random() % (bytes.size() * 8);
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    testing::write_bytes(copy / "rocksdb" / name, flipped);
    if (open_status(copy).code() == StatusCode::kDataLoss) {
      ++refused;
      CHECK(testing::read_bytes(copy / "rocksdb" / name) == flipped);
    }
    check_never_silent(copy, texts, "bit " + std::to_string(bit) + " of the log");
  }
  CHECK(refused >= 38);  // all but what hits bytes that mean nothing
}

TEST_CASE("every file of the store may be cut, deleted, zeroed or flipped without silent loss") {
  const TempFolder folder;
  make_store(folder / "db", 8);
  {
    // Several table files beside the log, as a store in use has.
    for (int i = 0; i < 3; ++i) {
      auto store = must_open(folder / "db");
      must_commit(*store, make_batch({make_write("more" + std::to_string(i), "x", 3)}));
    }
  }
  const Texts texts = texts_of(*must_open(folder / "db"));
  std::mt19937_64 random(testing::test_seed("file damage"));
  const auto files = testing::folder_bytes(folder / "db");
  for (const auto& [name, bytes] : files) {
    // Not part of what is stored: locks, and logs for people.
    if (bytes.empty() || contains(name, "LOCK") || contains(name, "LOG")) continue;
    for (int kind = 0; kind < 6; ++kind) {
      const fs::path copy = folder / "copy";
      fs::remove_all(copy);
      fs::copy(folder / "db", copy, fs::copy_options::recursive);
      std::string damaged = bytes;
      const std::size_t place = random() % bytes.size();
      if (kind == 0) fs::remove(copy / name);
      if (kind == 1) damaged.resize(place);
      if (kind == 2) damaged.clear();
      if (kind == 3)
        damaged.replace(place, 4096,
                        std::string(std::min<std::size_t>(4096, bytes.size() - place), '\0'));
      if (kind >= 4) damaged[place] = static_cast<char>(damaged[place] ^ (1 << random() % 8));
      if (kind != 0) testing::write_bytes(copy / name, damaged);
      check_never_silent(
          copy, texts, name + ", kind " + std::to_string(kind) + ", byte " + std::to_string(place));
    }
  }
}

TEST_CASE("a missing watermark is data loss that says what to do") {
  const TempFolder folder;
  make_store(folder / "db", 1);
  fs::remove(folder / "db/WATERMARK");
  const Status status = open_status(folder / "db");
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK(contains(status.message(), "WATERMARK is missing"));
  CHECK(contains(status.message(), "backup"));
}

TEST_CASE("a missing manifest beside a database is data loss, not a foreign folder") {
  const TempFolder folder;
  make_store(folder / "db", 1);
  fs::remove(folder / "db/NESTOR");
  for (const bool read_only : {false, true}) {
    StoreOptions options;
    options.read_only = read_only;
    CHECK(open_status(folder / "db", options).code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("files of two databases in one folder are told apart") {
  const TempFolder folder;
  make_store(folder / "a", 2);
  make_store(folder / "b", 2);
  fs::remove_all(folder / "a/rocksdb");
  fs::copy(folder / "b/rocksdb", folder / "a/rocksdb", fs::copy_options::recursive);
  const Status status = open_status(folder / "a");
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK(contains(status.message(), "files of two databases are mixed"));
}

TEST_CASE("a newer format inside RocksDB is refused with both numbers") {
  const TempFolder folder;
  make_store(folder / "db", 1);
  with_raw_rocksdb(folder / "db", [](rocksdb::DB& db) {
    const std::string key = meta_key("format");
    StoreFormat format = decode_format(key, get_raw(db, key)).value();
    format.format_version = 9;
    put_raw(db, key, encode_format(key, format));
  });
  const Status status = open_status(folder / "db");
  CHECK(status.code() == StatusCode::kUnsupported);
  CHECK(contains(status.message(), "format 9"));
  CHECK(contains(status.message(), "up to " + std::to_string(kFormatVersion)));
}

TEST_CASE("a damaged record is data loss that names collection and key, and the rest is readable") {
  const TempFolder folder;
  make_store(folder / "db", 3);
  with_raw_rocksdb(folder / "db", [](rocksdb::DB& db) {
    std::string value = get_raw(db, document_key(1, "key1"));
    value[10] = static_cast<char>(value[10] ^ 4);
    put_raw(db, document_key(1, "key1"), value);
    value = get_raw(db, row_key(1, 5));
    value.resize(value.size() / 2);
    put_raw(db, row_key(1, 5), value);
  });
  auto store = must_open(folder / "db");
  const auto view = store->view();
  const Status document = store->find_document(*view, 1, "key1").status();
  CHECK(document.code() == StatusCode::kDataLoss);
  CHECK(contains(document.message(), "collection 'default'"));
  CHECK(contains(document.message(), "document 'key1'"));
  CHECK(store->find_document(*view, 1, "key2").ok());
  const Collection collection = testing::collection_of(*store);
  const Status row = store->rows(*view, collection, std::vector<std::uint64_t>{5}).status();
  CHECK(row.code() == StatusCode::kDataLoss);
  CHECK(contains(row.message(), "collection 'default': row 5"));
  CHECK(store->rows(*view, collection, std::vector<std::uint64_t>{4, 6}).ok());
  must_commit(*store, make_batch({make_write("key0", "new")}));
  const auto report = store->verify({}).value();
  CHECK(mentions(report.problems, "document 'key1'"));
  CHECK(mentions(report.problems, "row 5"));
  CHECK(mentions(report.problems, "digest"));
  // New metadata needs the old document; a new document does not.
  Batch changes = make_batch({});
  changes.metadata_writes = {{.key = "key1", .metadata = {}}};
  CHECK(store->commit(changes).status().code() == StatusCode::kDataLoss);
  must_commit(*store, make_batch({make_write("key1", "new")}));
  CHECK(texts_of(*store).at("key1") == "new");
}

TEST_CASE("a batch that fell out of the middle is found at open") {
  const TempFolder folder;
  make_store(folder / "db", 5);
  with_raw_rocksdb(folder / "db",
                   [](rocksdb::DB& db) { REQUIRE(db.Delete({}, journal_key(1, 3)).ok()); });
  const Status status = open_status(folder / "db");
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK(contains(status.message(), "goes from batch 2 to 4"));
}

TEST_CASE("verify finds what does not fit together") {
  const TempFolder folder;
  make_store(folder / "db", 4);
  with_raw_rocksdb(folder / "db", [](rocksdb::DB& db) {
    REQUIRE(db.Delete({}, row_key(1, 2)).ok());            // of key0
    REQUIRE(db.Delete({}, document_key(1, "key1")).ok());  // rows 3, 4
    Row row = decode_row(row_key(1, 5), get_raw(db, row_key(1, 5)), 4).value();
    row.document_key = "somebody else";
    row.vector[0] = std::numeric_limits<float>::quiet_NaN();
    row.passage.index = 7;
    row.passage.bytes = {0, 1000};
    put_raw(db, row_key(1, 5), encode_row(row_key(1, 5), row));
    put_raw(db, row_key(1, 999), encode_row(row_key(1, 999), row));
    put_raw(db, row_key(2, 1), "x");
    put_raw(db, "zebra", "x");
  });
  const auto problems = problems_of(folder / "db");
  CHECK(mentions(problems, "document 'key0': 1 of its 2 rows are there"));
  CHECK(mentions(problems, "row 3: no document counts it"));
  CHECK(mentions(problems, "row 5: it names document 'somebody else', but belongs to 'key2'"));
  CHECK(mentions(problems, "row 5: its vector holds a NaN"));
  CHECK(mentions(problems, "row 5: it says passage 7"));
  CHECK(mentions(problems, "row 5: it ends at byte 1000"));
  CHECK(mentions(problems, "row 999: the next id to be given out is 9"));
  CHECK(mentions(problems, "row 1 of collection 2 belongs to no collection"));
  CHECK(mentions(problems, "zebra"));
  CHECK(mentions(problems, "3 documents are there, 4 are on record"));
  CHECK(mentions(problems, "digest"));
}

TEST_CASE("verify can be stopped") {
  const TempFolder folder;
  make_store(folder / "db", 1);
  std::stop_source source;
  source.request_stop();
  CHECK(must_open(folder / "db")->verify(source.get_token()).status().code() ==
        StatusCode::kCancelled);
}

TEST_CASE("after a failed write the store refuses to write until it is opened again") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, make_batch({make_write("a", "x")}));
  // The log is shorter than this, the second slot of the watermark lies beyond it.
  const FileSizeLimit limit(4000);
  Status status = store->commit(make_batch({make_write("b", "x")})).status();
  CHECK(status.code() == StatusCode::kIoError);
  CHECK(contains(status.message(), "WATERMARK"));
  limit.lift();
  status = store->commit(make_batch({make_write("c", "x")})).status();
  CHECK(status.code() == StatusCode::kIoError);
  CHECK(contains(status.message(), "open it again"));
  CHECK(texts_of(*store).count("b") == 0);  // not acknowledged, not shown
  store.reset();
  store = must_open(folder / "db");
  CHECK(texts_of(*store).size() == 2);  // it was in the log whole
  must_commit(*store, make_batch({make_write("c", "x")}));
  testing::check_verifies(*store);
}

TEST_CASE("a log that cannot grow is an error, the store is closed for writing, nothing is lost") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, make_batch({make_write("a", "x")}));
  const FileSizeLimit limit(20'000);
  Status status = store->commit(make_batch({make_write("b", std::string(50'000, 'x'))})).status();
  CHECK(status.code() == StatusCode::kIoError);
  limit.lift();
  CHECK(store->commit(make_batch({make_write("c", "x")})).status().code() == StatusCode::kIoError);
  CHECK(texts_of(*store).size() == 1);
  store.reset();
  store = must_open(folder / "db");
  CHECK(texts_of(*store).count("a") == 1);
  must_commit(*store, make_batch({make_write("c", "x")}));
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
