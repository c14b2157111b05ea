// Readers beside a writer: a refresh brings the newest acknowledged state, never an older one, and
// what was seen before stays readable whatever the writer does to its files.
#include <doctest/doctest.h>
#include <rocksdb/db.h>

#include <cstdio>

#include "storage/manifest.h"
#include "tests/storage/store_fixtures.h"

using namespace nestor;
using namespace nestor::storage;
using namespace nestor::storage::testing;

namespace {

const StoreOptions kReader = {.create_if_missing = false, .read_only = true};

bool must_refresh(DocumentStore& store) {
  const auto refreshed = store.refresh();
  REQUIRE_MESSAGE(refreshed.ok(), refreshed.status().to_string());
  return refreshed.value();
}

// Every table anew: the files that readers opened are gone.
void rewrite_tables(const std::string& path) {
  rocksdb::DB* raw = nullptr;
  rocksdb::Options options;
  options.compression = rocksdb::kNoCompression;
  REQUIRE(rocksdb::DB::Open(options, path + "/rocksdb", &raw).ok());
  const std::unique_ptr<rocksdb::DB> db(raw);
  rocksdb::CompactRangeOptions all;
  all.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
  REQUIRE(db->Flush(rocksdb::FlushOptions()).ok());
  REQUIRE(db->CompactRange(all, nullptr, nullptr).ok());
}

std::set<std::string> tables_of(const std::string& path) {
  std::set<std::string> names;
  for (const std::string& file : files_with(path + "/rocksdb", ".sst")) names.insert(file);
  return names;
}

std::map<std::string, std::string> texts_in(const DocumentStore& store,
                                            const DocumentStore::ViewPointer& view) {
  std::map<std::string, std::string> texts;
  const auto collection = store.find_collection(*view, "default");
  REQUIRE(collection.ok());
  const Status scanned =
      store.scan_documents(*view, collection.value()->id, "", [&](const StoredDocument& document) {
        texts[document.document.key] = document.document.text;
        return true;
      });
  REQUIRE_MESSAGE(scanned.ok(), scanned.to_string());
  return texts;
}

}  // namespace

TEST_CASE("a reader sees what is new after a refresh and not before; its older views stay") {
  TempFolder folder;
  const auto writer = must_open(folder / "db");
  REQUIRE(writer->create_collection("default", 0, false).ok());
  must_commit(*writer, make_batch({make_write("a", "first")}));
  const auto reader = must_open(folder / "db", kReader);
  CHECK(!must_refresh(*reader));
  const auto before = reader->view();
  must_commit(*writer, make_batch({make_write("b", "second")}, {"a"}));
  CHECK(texts_of(*reader) == std::map<std::string, std::string>{{"a", "first"}});
  CHECK(must_refresh(*reader));
  CHECK(!must_refresh(*reader));
  CHECK(texts_of(*reader) == std::map<std::string, std::string>{{"b", "second"}});
  CHECK(texts_in(*reader, before) == std::map<std::string, std::string>{{"a", "first"}});
  CHECK(reader->sequence(*reader->view()) == writer->sequence(*writer->view()));
  CHECK(reader->sequence(*before) + 1 == reader->sequence(*reader->view()));
  CHECK(!must_refresh(*writer));
}

TEST_CASE("a reader whose tables were compacted away answers from what it opened, and refreshes") {
  TempFolder folder;
  const std::string path = folder / "db";
  std::map<std::string, std::string> expected;
  {
    const auto writer = must_open(path);
    REQUIRE(writer->create_collection("default", 0, false).ok());
    for (int i = 0; i < 40; ++i) {
      const std::string key = "k" + std::to_string(i);
      expected[key] = std::string(40'000, static_cast<char>('a' + i % 26));
      must_commit(*writer, make_batch({make_write(key, expected[key])}));
    }
  }
  rewrite_tables(path);
  const auto reader = must_open(path, kReader);
  const std::set<std::string> opened = tables_of(path);
  REQUIRE(!opened.empty());
  {
    const auto writer = must_open(path);
    must_commit(*writer, make_batch({make_write("new", "new")}, {"k1"}));
  }
  rewrite_tables(path);
  for (const std::string& name : tables_of(path)) CHECK(!opened.contains(name));
  CHECK(texts_of(*reader) == expected);
  const auto verified = reader->verify({});
  CHECK((verified.ok() ? verified.value().problems.size() == 0
                       : verified.status().message().find("refresh it") != std::string::npos));
  CHECK(must_refresh(*reader));
  expected["new"] = "new";
  expected.erase("k1");
  CHECK(texts_of(*reader) == expected);
}

TEST_CASE("a reader refuses a folder that went back, became another database or a newer format") {
  TempFolder folder;
  const std::string path = folder / "db";
  const auto copy = [&](const std::string& from, const std::string& to) {
    std::filesystem::remove_all(to);
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
  };
  {
    const auto writer = must_open(path);
    REQUIRE(writer->create_collection("default", 0, false).ok());
  }
  copy(path, folder / "old");
  {
    const auto writer = must_open(path);
    for (const char* key : {"a", "b", "c"}) {
      must_commit(*writer, make_batch({make_write(key, "text")}));
    }
  }
  const auto reader = must_open(path, kReader);
  const auto seen = texts_of(*reader);
  const auto refused = [&](StatusCode code, const char* words) {
    const Status status = reader->refresh().status();
    CHECK(status.code() == code);
    CHECK_MESSAGE(status.message().find(words) != std::string::npos, status.to_string());
    CHECK(texts_of(*reader) == seen);
  };
  copy(folder / "old", path);
  refused(StatusCode::kFailedPrecondition, "went back from batch 4 to 1");
  std::filesystem::remove_all(path);
  { const auto other = must_open(path); }
  refused(StatusCode::kFailedPrecondition, "open the database again");
  auto manifest = read_manifest(path);
  REQUIRE(manifest.ok());
  manifest.value()->format_version = kFormatVersion + 1;
  REQUIRE(write_manifest(path, *manifest.value()).ok());
  refused(StatusCode::kUnsupported, std::to_string(kFormatVersion + 1).c_str());
}

TEST_CASE("(child) reads a folder in which it may not write" * doctest::skip()) {
  // Modes do not bind root.
  if (::geteuid() == 0 && ::seteuid(65534) != 0) {
    child_says("cannot become another user");
    return;
  }
  const std::string path = child_database();
  if (std::ofstream(path + "/probe").good()) {
    child_says("may write all the same");
    return;
  }
  const auto opened = DocumentStore::open(path, kReader);
  if (!opened.ok()) {
    child_says(opened.status().to_string());
    return;
  }
  const auto refreshed = opened.value()->refresh();
  const auto verified = opened.value()->verify({});
  const bool all = refreshed.ok() && verified.ok() && verified.value().problems.empty();
  child_says(all ? "read " + std::to_string(verified.value().documents) : "failed");
}

TEST_CASE("a reader works where nothing may be written, and writes nothing") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    const auto writer = must_open(path);
    REQUIRE(writer->create_collection("default", 0, false).ok());
    must_commit(*writer, make_batch({make_write("a", "first")}));
  }
  const auto set_modes = [&](bool writable) {
    namespace fs = std::filesystem;
    std::vector<fs::path> all = {path};
    for (const auto& entry : fs::recursive_directory_iterator(path)) all.push_back(entry.path());
    for (const fs::path& file : all) {
      const auto mode =
          fs::is_directory(file) ? (writable ? 0755 : 0555) : (writable ? 0644 : 0444);
      fs::permissions(file, static_cast<fs::perms>(mode));
    }
  };
  std::filesystem::permissions(folder.path(), static_cast<std::filesystem::perms>(0755));
  set_modes(false);
  ChildProcess child("(child) reads a folder in which it may not write", path);
  const std::string said = child.read_line();
  set_modes(true);
  if (said.find("may write") != std::string::npos || said.find("cannot become") == 0) {
    std::printf("left out: this machine lets the test write everywhere: %s\n", said.c_str());
    return;
  }
  CHECK(said == "read 1");
}
