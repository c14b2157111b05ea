// The row cache against the store: with it, without it and with a damaged one, a search of the same
// plan gives the same hits with the same scores.
#include "query/row_files.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/file.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

constexpr int kDocuments = 1500;  // enough for codes

Database open_at(const std::string& path, OpenOptions options = {}) {
  auto opened = query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

// Every three share a word, every seven another.
std::vector<Document> documents(int first, int count) {
  std::vector<Document> made;
  for (int i = first; i < first + count; ++i) {
    made.push_back({.key = "k" + std::to_string(i),
                    .text = "n" + std::to_string(i) + " third" + std::to_string(i / 3) +
                            " seventh" + std::to_string(i / 7)});
  }
  return made;
}

std::vector<std::string> answers(const Database& db, std::int64_t* exact_count = nullptr) {
  std::vector<std::string> lines;
  for (const char* question : {"n17 third5", "seventh3", "third200 seventh9", "n1499"}) {
    const auto found = db.search(question, {.k = 10, .candidate_count = 100});
    REQUIRE_MESSAGE(found.ok(), found.status().to_string());
    for (const Hit& hit : found.value().hits) lines.push_back(hit.key + std::to_string(hit.score));
    if (exact_count != nullptr) *exact_count = found.value().explain.exact_count;
  }
  return lines;
}

std::set<std::string> cache_files(const std::string& path) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path + "/cache"))
    names.insert(entry.path().filename());
  return names;
}

std::vector<std::string> segments_of(const std::string& path) {
  std::vector<std::string> names;
  for (const std::string& name : cache_files(path)) {
    if (name.ends_with(".rowseg.rows")) names.push_back(path + "/cache/" + name);
  }
  return names;
}

void remove_row_files(const std::string& path) {
  for (const std::string& name : cache_files(path)) {
    if (name.find("rowseg") != std::string::npos || name.ends_with("-rows.index")) {
      std::filesystem::remove(path + "/cache/" + name);
    }
  }
}

}  // namespace

TEST_CASE("cached rows cut the candidates and change no answer, damaged or not") {
  const TempFolder folder;
  const std::string path = folder / "db";
  {
    Database db = open_at(path);
    REQUIRE(db.add(documents(0, kDocuments)).ok());
  }
  REQUIRE(segments_of(path).size() == 1);
  OpenOptions reading;
  reading.read_only = true;
  std::int64_t with = 0;
  const auto expected = answers(open_at(path, reading), &with);
  const std::string saved = folder / "saved";
  std::filesystem::copy(path, saved, std::filesystem::copy_options::recursive);
  remove_row_files(path);
  std::int64_t without = 0;
  CHECK(answers(open_at(path, reading), &without) == expected);
  CHECK(without == 100);
  CHECK(with < without);
  CHECK(with >= 10);
  CHECK(segments_of(path).empty());  // a reader writes nothing

  const std::string rows = segments_of(saved).front();
  const std::string good = read_file(rows, 1 << 30).value();
  for (const std::string& bad : {good.substr(0, good.size() / 2), std::string(good.size(), '\0')}) {
    std::ofstream(rows, std::ios::binary | std::ios::trunc) << bad;
    std::int64_t count = 0;
    CHECK(answers(open_at(saved, reading), &count) == expected);
    CHECK(count == without);
  }
  {  // A writer makes it anew.
    Database db = open_at(saved);
    CHECK(answers(db) == expected);
  }
  {
    Database db = open_at(saved);
    CHECK(answers(db) == expected);
  }
  std::int64_t mended = 0;
  CHECK(answers(open_at(saved, reading), &mended) == expected);
  CHECK(mended == with);
}

TEST_CASE("the row cache follows what is added and removed, and keeps few segments") {
  const TempFolder folder;
  const std::string path = folder / "db";
  const std::string plain = folder / "plain";
  OpenOptions reading;
  reading.read_only = true;
  {
    Database db = open_at(path);
    REQUIRE(db.add(documents(0, kDocuments)).ok());
  }
  for (int round = 1; round <= 12; ++round) {
    Database db = open_at(path);
    CHECK(answers(db).size() == 40);  // the index is there while rows come and go
    REQUIRE(db.add(documents(kDocuments + 200 * round, 200)).ok());
    REQUIRE(db.remove({"k" + std::to_string(17 * round)}).ok());
    const auto now = answers(db);
    REQUIRE(db.close().ok());
    std::filesystem::remove_all(plain);
    std::filesystem::copy(path, plain, std::filesystem::copy_options::recursive);
    remove_row_files(plain);
    CHECK(answers(open_at(plain, reading)) == now);
    CHECK(answers(open_at(path, reading)) == now);
  }
  CHECK(segments_of(path).size() <= 4);
  // Most of them gone: the cache is made anew, smaller.
  const auto before = std::filesystem::file_size(segments_of(path).front());
  {
    Database db = open_at(path);
    std::vector<std::string> keys;
    for (int i = 0; i < kDocuments + 2000; ++i) keys.push_back("k" + std::to_string(i));
    REQUIRE(db.remove(keys).ok());
  }
  {
    Database db = open_at(path);
    CHECK(answers(db).size() == 40);
  }
  std::uintmax_t after = 0;
  for (const std::string& segment : segments_of(path)) after += std::filesystem::file_size(segment);
  CHECK(after < 1000 * 768);
  CHECK(before >= kDocuments * 768);
}

TEST_CASE("segments of another database are not taken for one's own") {
  const TempFolder folder;
  for (const char* name : {"one", "two"}) {
    Database db = open_at(folder / name);
    REQUIRE(db.add(documents(std::string(name) == "one" ? 0 : 1, kDocuments)).ok());
  }
  OpenOptions reading;
  reading.read_only = true;
  const auto expected = answers(open_at(folder / "one", reading));
  const std::string own = segments_of(folder / "one").front();
  const std::string other = segments_of(folder / "two").front();
  for (const std::string ending : {"", ".rows"}) {
    const auto file = [&](const std::string& rows) {
      return rows.substr(0, rows.size() - 5) + ending;
    };
    std::filesystem::copy_file(file(other), file(own),
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(answers(open_at(folder / "one", reading)) == expected);
  }
}

TEST_CASE(
    "verify names a segment that is listed and not there, and says nothing where no list is") {
  const TempFolder folder;
  const std::string path = folder / "db";
  {
    Database db = open_at(path);
    REQUIRE(db.add(documents(0, kDocuments)).ok());
  }
  OpenOptions reading;
  reading.read_only = true;
  const std::string rows = segments_of(path).front();
  const std::string segment = rows.substr(0, rows.size() - 5);
  for (const std::string& gone : {rows, segment}) {
    std::filesystem::remove(gone);
    const auto verified = open_at(path, reading).verify();
    REQUIRE(verified.ok());
    CHECK(verified.value().problems.empty());
    REQUIRE(verified.value().notes.size() == 1);
    CHECK(verified.value().notes.front().find(std::filesystem::path(segment).filename()) !=
          std::string::npos);
  }
  remove_row_files(path);
  const auto verified = open_at(path, reading).verify();
  REQUIRE(verified.ok());
  CHECK(verified.value().notes.empty());
}
