// Backups and bundles: made beside a writer, whole, checked, and never half there.
#include "storage/backup.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "core/file.h"
#include "core/hash.h"
#include "storage/bundle.h"
#include "storage/bundle_header.h"
#include "tests/storage/store_fixtures.h"

using namespace nestor;
using namespace nestor::storage;
using namespace nestor::storage::testing;

namespace {

// Batch i writes k<i> and takes k<i - 5> away, so the sequence tells what has to be there.
void commit_numbered(DocumentStore& store, int i, std::size_t text_bytes = 3'000) {
  // Random, or it would shrink to nothing in the log and in tables.
  std::mt19937 random(static_cast<unsigned>(i));
  std::string text(text_bytes, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  must_commit(store, make_batch({make_write("k" + std::to_string(i), text)},
                                i < 5 ? std::vector<std::string>{}
                                      : std::vector<std::string>{"k" + std::to_string(i - 5)}));
}

std::set<std::string> keys_after(std::uint64_t sequence) {
  std::set<std::string> keys;
  const int last = static_cast<int>(sequence) - 2;  // batch 1 made the collection
  for (int i = std::max(0, last - 4); i <= last; ++i) keys.insert("k" + std::to_string(i));
  return keys;
}

std::set<std::string> keys_of(const DocumentStore& store) {
  std::set<std::string> keys;
  for (const auto& [key, text] : texts_of(store)) keys.insert(key);
  return keys;
}

void make_database(const std::string& path, int batches) {
  const auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  for (int i = 0; i < batches; ++i) commit_numbered(*store, i);
}

bool nothing_but(const std::string& folder, const std::set<std::string>& names) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!names.contains(entry.path().filename().string())) return false;
  }
  return true;
}

std::string bytes_of(const std::string& path) {
  auto bytes = read_file(path, std::uint64_t{1} << 30);
  REQUIRE(bytes.ok());
  return std::move(bytes).value();
}

void put_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE(
    "a backup made while a writer goes on is whole, of one batch, and a database of its own") {
  TempFolder folder;
  const std::string path = folder / "db";
  make_database(path, 1);
  std::atomic<int> acknowledged = 0;
  std::jthread writing([&](const std::stop_token& done) {
    for (int i = 1; !done.stop_requested();) {
      // Closing makes a table of each such log, and after a few of them a compaction.
      const auto writer = must_open(path);
      for (const int end = i + 15; i < end; ++i) {
        commit_numbered(*writer, i, 100'000);
        acknowledged = i;
      }
    }
  });
  for (int i = 0; i < 16; ++i) {
    const std::string to = folder / ("copy" + std::to_string(i));
    const std::uint64_t before = static_cast<std::uint64_t>(acknowledged) + 2;
    const auto result = backup_store(path, to, {.hard_links = i % 2 == 0});
    REQUIRE_MESSAGE(result.ok(), result.status().to_string());
    CHECK(result.value().sequence >= before);
    CHECK(result.value().documents == std::ssize(keys_after(result.value().sequence)));
    if (i % 2 == 1) CHECK(result.value().linked_bytes == 0);
    const auto copy = must_open(to);
    CHECK(copy->sequence(*copy->view()) == result.value().sequence);
    CHECK(keys_of(*copy) == keys_after(result.value().sequence));
    must_commit(*copy, make_batch({make_write("own", "life")}));
  }
  writing.request_stop();
  writing.join();
  const auto writer = must_open(path);
  check_verifies(*writer);
  CHECK(!texts_of(*writer).contains("own"));
}

TEST_CASE("tables are shared on one file system and survive the database; --copy shares nothing") {
  TempFolder folder;
  const std::string path = folder / "db";
  make_database(path, 400);  // more than 1 MB of log: closing makes tables of it
  const auto tables = files_with(path + "/rocksdb", ".sst");
  REQUIRE(!tables.empty());
  const auto linked = backup_store(path, folder / "linked", {});
  REQUIRE_MESSAGE(linked.ok(), linked.status().to_string());
  CHECK(linked.value().linked_bytes > 0);
  struct stat status = {};
  REQUIRE(::stat(tables.front().c_str(), &status) == 0);
  CHECK(status.st_nlink == 2);
  REQUIRE(backup_store(path, folder / "copied", {.hard_links = false}).ok());
  REQUIRE(::stat(tables.front().c_str(), &status) == 0);
  CHECK(status.st_nlink == 2);
  std::filesystem::remove_all(path);
  for (const char* name : {"linked", "copied"}) {
    const auto copy = must_open(folder / name);
    CHECK(keys_of(*copy) == keys_after(401));
  }
}

TEST_CASE("a backup is refused where something is, inside the database, and of a damaged one") {
  TempFolder folder;
  const std::string path = folder / "db";
  make_database(path, 400);
  const auto refused = [&](const std::string& to, StatusCode code) {
    const Status status = backup_store(path, to, {}).status();
    CHECK_MESSAGE(status.code() == code, status.to_string());
  };
  std::filesystem::create_directories(folder / "full/of");
  refused(folder / "full", StatusCode::kAlreadyExists);
  refused(path + "/backup", StatusCode::kInvalidArgument);
  refused(folder / "other/../db/cache/x", StatusCode::kInvalidArgument);
  put_bytes(folder / "file", "x");
  refused(folder / "file", StatusCode::kAlreadyExists);
  CHECK(backup_store(folder / "none", folder / "copy", {}).status().code() ==
        StatusCode::kNotFound);
  std::stop_source stop;
  stop.request_stop();
  CHECK(backup_store(path, folder / "copy", {.stop = stop.get_token()}).status().code() ==
        StatusCode::kCancelled);
  std::filesystem::create_directory(folder / "empty");
  CHECK(backup_store(path, folder / "empty", {}).ok());

  const std::string table = files_with(path + "/rocksdb", ".sst").front();
  std::string bytes = bytes_of(table);
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 1);
  std::filesystem::remove(table);  // its blocks are shared with the copy in "empty"
  put_bytes(table, bytes);
  refused(folder / "copy", StatusCode::kDataLoss);
  CHECK(nothing_but(folder.path(), {"db", "full", "file", "empty"}));
}

TEST_CASE("a bundle brings the database back, and says what it is") {
  TempFolder folder;
  make_database(folder / "db", 50);
  const auto made = write_bundle(folder / "db", folder / "db.nestor", {});
  REQUIRE_MESSAGE(made.ok(), made.status().to_string());
  const auto read = read_bundle(folder / "db.nestor", folder / "back", {});
  REQUIRE_MESSAGE(read.ok(), read.status().to_string());
  CHECK(read.value().sha256 == made.value().sha256);
  CHECK(read.value().collections == made.value().collections);
  CHECK(read.value().sequence == 51);
  REQUIRE(read.value().collections.size() == 1);
  CHECK(read.value().collections[0].documents == 5);
  const std::string bytes = bytes_of(folder / "db.nestor");
  CHECK(std::ssize(bytes) == made.value().bytes);
  CHECK(sha256_hex(bytes.substr(0, bytes.size() - 64)) == made.value().sha256);
  CHECK(bytes.substr(bytes.size() - 64) == made.value().sha256);
  CHECK(texts_of(*must_open(folder / "back")) == texts_of(*must_open(folder / "db")));
  CHECK(write_bundle(folder / "db", folder / "db.nestor", {}).status().code() ==
        StatusCode::kAlreadyExists);
  CHECK(nothing_but(folder.path(), {"db", "db.nestor", "back"}));
}

TEST_CASE("a damaged or cut bundle is refused and leaves nothing") {
  TempFolder folder;
  make_database(folder / "db", 20);
  REQUIRE(write_bundle(folder / "db", folder / "good", {}).ok());
  const std::string good = bytes_of(folder / "good");
  const std::string bad = folder / "bad";
  const auto check_refused = [&](const std::string& bytes) {
    put_bytes(bad, bytes);
    const Status status = read_bundle(bad, folder / "back", {}).status();
    const bool told =
        status.code() == StatusCode::kDataLoss || status.code() == StatusCode::kUnsupported;
    CHECK_MESSAGE(told, status.to_string());
    CHECK(!std::filesystem::exists(folder / "back"));
  };
  for (std::size_t i = 0; i < 80; ++i) {
    std::string bytes = good;
    const std::size_t at = i < 40 ? i : (i * 2'654'435'761U) % good.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << i % 8));
    check_refused(bytes);
  }
  for (const std::size_t length : {std::size_t{0}, std::size_t{7}, std::size_t{16}, std::size_t{60},
                                   good.size() / 2, good.size() - 1}) {
    check_refused(good.substr(0, length));
  }
  check_refused(good + "x");
  CHECK(nothing_but(folder.path(), {"db", "good", "bad"}));
}

TEST_CASE("a bundle's file names lead nowhere but into the database's folder") {
  const auto parse = [](const std::string& name, std::uint64_t bytes) {
    BundleHeader header;
    header.files = {{name, bytes}};
    const std::string start = encode_bundle_start(header).value();
    const std::uint64_t size = start.size() + bytes + kBundleHashDigits;
    return parse_bundle_header("b", kBundleVersion,
                               std::string_view(start).substr(kBundleStartBytes), size);
  };
  for (const char* name : {"NESTOR", "WATERMARK", "rocksdb/CURRENT", "rocksdb/000012.sst",
                           "rocksdb/MANIFEST-000005", "rocksdb/000007.log"}) {
    CHECK_MESSAGE(parse(name, 5).ok(), name);
  }
  for (const char* name :
       {"", "/etc/passwd", "../NESTOR", "rocksdb/../../x.sst", "rocksdb/x/../y.sst", "rocksdb/.sst",
        "rocksdb/..sst", "cache/1-codes.index", "LOCK", "rocksdb/LOCK", "rocksdb/OPTIONS-000007",
        "rocksdb\\..\\x.sst", "rocksdb/a b.sst", "NESTOR/"}) {
    CHECK_MESSAGE(parse(name, 5).status().code() == StatusCode::kDataLoss, name);
  }
  BundleHeader twice;
  twice.files = {{"NESTOR", 1}, {"NESTOR", 1}};
  std::string start = encode_bundle_start(twice).value();
  CHECK(!parse_bundle_header("b", kBundleVersion, std::string_view(start).substr(kBundleStartBytes),
                             start.size() + 2 + kBundleHashDigits)
             .ok());
  BundleHeader huge;  // sizes that wrap around
  huge.files = {{"NESTOR", ~std::uint64_t{0}}, {"WATERMARK", 11}};
  start = encode_bundle_start(huge).value();
  CHECK(!parse_bundle_header("b", kBundleVersion, std::string_view(start).substr(kBundleStartBytes),
                             start.size() + 10 + kBundleHashDigits)
             .ok());
}

TEST_CASE("a bundle's header keeps metrics and attributes; one of version 1 has none and is read") {
  BundleHeader header;
  header.facts.collections = {{.name = "c",
                               .space = "external",
                               .model = "",
                               .width = 2,
                               .documents = 1,
                               .passages = 1,
                               .digest = std::string(32, 'a'),
                               .metric = Metric::kL2,
                               .attributes = {{"nestor.language", "german"}}}};
  header.files = {{"NESTOR", 1}};
  const std::string start = encode_bundle_start(header).value();
  const auto begin = parse_bundle_start("b", start.substr(0, kBundleStartBytes));
  REQUIRE(begin.ok());
  CHECK(begin.value().version == 2);
  const std::string body = start.substr(kBundleStartBytes);
  CHECK(begin.value().header_bytes == body.size());
  const std::uint64_t size = start.size() + 1 + kBundleHashDigits;
  const auto parsed = parse_bundle_header("b", 2, body, size);
  REQUIRE(parsed.ok());
  CHECK(parsed.value().facts.collections == header.facts.collections);
  // The bytes of version 1: the same without metric, number of attributes, name and value.
  const std::string options = std::string("\x02\x01\x0f") + "nestor.language" + "\x06german";
  const std::size_t at = body.find(options);
  REQUIRE(at != std::string::npos);
  std::string first = body;
  first.erase(at, options.size());
  const auto old = parse_bundle_header("b", kFirstBundleVersion, first, size - options.size());
  REQUIRE_MESSAGE(old.ok(), old.status().to_string());
  CHECK(old.value().facts.collections.front().digest == std::string(32, 'a'));
  CHECK(old.value().facts.collections.front().attributes.empty());
  CHECK(!parse_bundle_header("b", 2, first, size - options.size()).ok());
  std::string no_metric = body;
  no_metric[at] = 3;
  CHECK(parse_bundle_header("b", 2, no_metric, size).status().code() == StatusCode::kDataLoss);
}

TEST_CASE("a bundle whose header no reader would take is not written") {
  BundleHeader header;
  header.facts.collections.resize(1);
  auto& attributes = header.facts.collections[0].attributes;
  attributes["a"] = std::string(kMostBundleHeaderBytes, 'a');
  CHECK(encode_bundle_start(header).status().code() == StatusCode::kInvalidArgument);
  attributes["a"].resize(kMostBundleHeaderBytes - 1000);
  CHECK(encode_bundle_start(header).ok());
}
