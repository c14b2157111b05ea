// A folder is a database by what its files hold, never by their names.
#include "storage/folder_kind.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "storage/document_store.h"
#include "storage/store_repair.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;
using testing::must_open;
using testing::TempFolder;

void write(const std::string& path, std::string_view text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::string make_database(const TempFolder& folder) {
  std::string path = folder / "db";
  REQUIRE(must_open(path)->create_collection("default", 0, false).ok());
  return path;
}

// Names of a database's files, as texts that people write.
const std::vector<std::pair<std::string, std::string>> kTexts = {
    {"NESTOR", "Nestor was king of Pylos.\n"},
    {"NESTOR", ""},
    {"NESTOR", "NESTORDB is how the manifest begins.\n"},
    {"NESTOR.md", "# Nestor\n"},
    {"NESTOR.1-2.tmp", "a draft\n"},
    {"WATERMARK", "draft\n"},
    {"WATERMARK", std::string(8192, 'x')},
    {"LOCK", "of the canal\n"},
    {"CURRENT", "amperes\n"},
    {"REPAIR", "the roof\n"},
    {"cache/1-codes.index", "an index of codes\n"},
    {"rocksdb/README", "about RocksDB\n"},
    {"rocksdb/CURRENT", "the current version\n"},
    {"rocksdb/MANIFEST-of-hopes", "we hope\n"},
    {"repair.tmp/notes", "none\n"},
};

}  // namespace

TEST_CASE("texts that are called like a database's files are texts") {
  for (const auto& [name, text] : kTexts) {
    CAPTURE(name);
    TempFolder folder;
    const std::string path = folder / "docs";
    write(path + "/" + name, text);
    CHECK(folder_kind(path) == FolderKind::kOther);
    for (const bool read_only : {false, true}) {
      const Status status = DocumentStore::open(path, {.read_only = read_only}).status();
      CHECK_MESSAGE(
          status.code() == (read_only ? StatusCode::kNotFound : StatusCode::kInvalidArgument),
          status.to_string());
    }
    CHECK(repair_store(path, {}).status().code() == StatusCode::kNotFound);
    // And nothing was made beside it.
    CHECK(std::distance(fs::recursive_directory_iterator(path), {}) ==
          (name.find('/') == std::string::npos ? 1 : 2));
  }
}

TEST_CASE(
    "a database is one, and so it is while it is being made and when its manifest is damaged") {
  TempFolder folder;
  const std::string path = make_database(folder);
  CHECK(folder_kind(path) == FolderKind::kDatabase);
  std::string manifest;
  std::getline(std::ifstream(path + "/NESTOR", std::ios::binary), manifest, '\xff');
  for (std::size_t i = 0; i < manifest.size(); ++i) {
    std::string damaged = manifest;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    write(path + "/NESTOR", damaged);
    CHECK(folder_kind(path) != FolderKind::kOther);
    CHECK(DocumentStore::open(path, {}).status().code() != StatusCode::kInvalidArgument);
  }
  for (std::size_t length = 0; length < manifest.size(); ++length) {
    write(path + "/NESTOR", manifest.substr(0, length));
    CHECK(folder_kind(path) != FolderKind::kOther);
  }
}

TEST_CASE("what is left of a database passes for nothing else, whichever part is left") {
  TempFolder folder;
  const std::string whole = make_database(folder);
  for (const char* kept : {"WATERMARK", "rocksdb"}) {
    const std::string path = folder / std::string("kept-") + kept;
    fs::create_directories(path);
    fs::copy(whole + "/" + kept, path + "/" + kept, fs::copy_options::recursive);
    for (const bool beside_a_text : {false, true}) {
      if (beside_a_text) write(path + "/NESTOR", "king of Pylos\n");
      CHECK(folder_kind(path) == FolderKind::kRemains);
      for (const bool read_only : {false, true}) {
        CHECK(DocumentStore::open(path, {.read_only = read_only}).status().code() ==
              StatusCode::kDataLoss);
      }
      CHECK(remains_status(path).message().find("nestor repair") != std::string::npos);
    }
  }
}

TEST_CASE("a folder is not one, and a file is not one") {
  TempFolder folder;
  CHECK(folder_kind(folder / "none") == FolderKind::kOther);
  CHECK(folder_kind(folder.path()) == FolderKind::kOther);
  write(folder / "file", "text");
  CHECK(folder_kind(folder / "file") == FolderKind::kOther);
  CHECK(folder_kind("") == FolderKind::kOther);
}

}  // namespace nestor::storage
