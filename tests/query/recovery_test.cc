// The index cache against the store: whatever happens to the file, the answers are those of the
// store.
#include "query/recovery.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
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

Database open_at(const std::string& path, std::vector<std::string>* warnings = nullptr) {
  OpenOptions options;
  if (warnings != nullptr) {
    options.log = [warnings](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) warnings->emplace_back(text);
    };
  }
  auto opened = query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::vector<Document> numbered(int first, int count) {
  std::vector<Document> documents;
  for (int i = first; i < first + count; ++i) {
    documents.push_back({.key = "k" + std::to_string(i), .text = "number n" + std::to_string(i)});
  }
  return documents;
}

std::string cache_file(const std::string& path) {
  for (const auto& entry : std::filesystem::directory_iterator(path + "/cache")) {
    if (entry.path().extension() == ".index") return entry.path().string();
  }
  return {};
}

std::string bytes_of(const std::string& path) {
  auto bytes = read_file(path, 1 << 30);
  REQUIRE(bytes.ok());
  return std::move(bytes).value();
}

void overwrite(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Every key findable by its own number, and nothing else there.
void check_answers(const Database& db, const std::set<int>& expected) {
  const auto all = db.search("number", {.k = 10'000});
  REQUIRE_MESSAGE(all.ok(), all.status().to_string());
  std::set<std::string> keys;
  for (const Hit& hit : all.value().hits) keys.insert(hit.key);
  CHECK(all.value().hits.size() == expected.size());
  CHECK(keys.size() == expected.size());
  for (const int i : expected) {
    if (!keys.contains("k" + std::to_string(i))) FAIL_CHECK("missing k" << i);
  }
}

}  // namespace

TEST_CASE("a damaged, cut, emptied or foreign cache is rebuilt with a warning, the answers stay") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    Database db = open_at(path);
    REQUIRE(db.add(numbered(0, 150)).ok());
  }
  std::set<int> all;
  for (int i = 0; i < 150; ++i) all.insert(i);
  const std::string file = cache_file(path);
  REQUIRE(!file.empty());
  const std::string good = bytes_of(file);
  std::vector<std::string> damaged = {good.substr(0, good.size() / 2),
                                      good.substr(0, good.size() - 1),
                                      "",
                                      "x",
                                      std::string(good.size(), '\0'),
                                      good + "tail"};
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{9}, good.size() / 3, good.size() - 1}) {
    damaged.push_back(good);
    damaged.back()[place] ^= 0x10;
  }
  for (const std::string& bytes : damaged) {
    overwrite(file, bytes);
    std::vector<std::string> warnings;
    Database db = open_at(path, &warnings);
    check_answers(db, all);
    CHECK(warnings.size() == 1);
    const auto report = db.verify();
    CHECK(report.value().problems.empty());
    CHECK(report.value().notes.size() == 1);
    overwrite(file, good);  // before close writes a new one
  }
  // The cache of another database with the same collection name and id.
  const std::string other = folder / "other";
  {
    Database db = open_at(other);
    REQUIRE(db.add(numbered(1000, 150)).ok());
  }
  overwrite(file, bytes_of(cache_file(other)));
  std::vector<std::string> warnings;
  Database db = open_at(path, &warnings);
  check_answers(db, all);
  CHECK(warnings.size() == 1);
}

TEST_CASE("the caches of two collections changed for each other are both rebuilt") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    Database db = open_at(path);
    REQUIRE(db.add(numbered(0, 100), {.collection = "one"}).ok());
    REQUIRE(db.add(numbered(500, 100), {.collection = "two"}).ok());
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path + "/cache"))
    files.push_back(entry.path());
  REQUIRE(files.size() == 2);
  const std::string first = bytes_of(files[0]);
  overwrite(files[0], bytes_of(files[1]));
  overwrite(files[1], first);
  std::vector<std::string> warnings;
  Database db = open_at(path, &warnings);
  CHECK(db.search("number n7", {.k = 1, .collection = "one"}).value().hits[0].key == "k7");
  CHECK(db.search("number n507", {.k = 1, .collection = "two"}).value().hits[0].key == "k507");
  CHECK(warnings.size() == 2);
}

TEST_CASE("an old cache is caught up, a cache of the future is rebuilt") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    Database db = open_at(path);
    REQUIRE(db.add(numbered(0, 150)).ok());
  }
  const std::string file = cache_file(path);
  const std::string old = bytes_of(file);
  {
    Database db = open_at(path);
    REQUIRE(db.add(numbered(150, 150)).ok());
    REQUIRE(db.remove({"k3", "k160"}).ok());
    REQUIRE(db.add({{.key = "k5", .text = "number n5 changed"}}).ok());
  }
  std::set<int> expected;
  for (int i = 0; i < 300; ++i) {
    if (i != 3 && i != 160) expected.insert(i);
  }
  overwrite(file, old);
  std::vector<std::string> warnings;
  {
    Database db = open_at(path, &warnings);
    check_answers(db, expected);
    CHECK(db.search("n5 changed", {.k = 1}).value().hits[0].text == "number n5 changed");
  }
  CHECK(warnings.empty());
  // The whole database restored from a copy, but for the newer cache.
  const std::string restored = folder / "restored";
  {
    Database db = open_at(restored);
    REQUIRE(db.add(numbered(0, 100)).ok());
  }
  overwrite(cache_file(restored), bytes_of(file));
  Database db = open_at(restored, &warnings);
  std::set<int> hundred;
  for (int i = 0; i < 100; ++i) hundred.insert(i);
  check_answers(db, hundred);
  CHECK(warnings.size() == 1);
}

TEST_CASE("an index brought up to date by the journal takes no mask of another version") {
  TempFolder folder;
  const auto make = [](int i) {
    return Document{.key = "k" + std::to_string(i), .text = "passage " + std::to_string(i)};
  };
  std::vector<Document> documents;
  for (int i = 0; i < 300; ++i) documents.push_back(make(i));
  const auto encoder = factory_of(std::make_shared<HashEncoder>());
  {
    auto db = query::open_database(folder / "db", {}, encoder);
    REQUIRE(db.ok());
    REQUIRE(db.value().add(documents).ok());
  }
  storage::Collection before;
  std::optional<query::LoadedIndex> kept;
  {
    auto store = storage::DocumentStore::open(folder / "db", {.read_only = true});
    REQUIRE(store.ok());
    const auto view = store.value()->view();
    before = store.value()->collections(*view).value().at(0);
    auto loaded = query::load_index(*store.value(), *view, before, {});
    REQUIRE_MESSAGE(loaded.ok(), loaded.status().to_string());
    kept = std::move(loaded).value();
  }
  REQUIRE(kept->index.has_codes());
  const std::uint64_t generation = kept->index.codes().generation();
  {
    auto db = query::open_database(folder / "db", {}, encoder);
    REQUIRE(db.ok());
    // The row that comes and goes is at a position of a version that saw it, and not in the
    // journal.
    REQUIRE(db.value().add({make(300)}).ok());
    REQUIRE(db.value().remove({"k300"}).ok());
    REQUIRE(db.value().add({make(301)}).ok());
  }
  auto store = storage::DocumentStore::open(folder / "db", {.read_only = true});
  REQUIRE(store.ok());
  const auto view = store.value()->view();
  const auto after = store.value()->collections(*view).value().at(0);
  const auto applied = query::apply_journal(*store.value(), *view, before, after, *kept);
  REQUIRE(applied.ok());
  REQUIRE(applied.value());
  CHECK(kept->index.codes().generation() != generation);
}

TEST_CASE("random histories with reopens and old caches always answer as the store does") {
  const char* given = std::getenv("NESTOR_TEST_SEED");
  const auto seed =
      given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  TempFolder folder;
  const std::string path = folder / "db";
  std::set<int> alive;
  std::vector<std::string> saved_caches;
  for (int round = 0; round < 25; ++round) {
    Database db = open_at(path);
    for (int step = 0; step < 4; ++step) {
      const int first = static_cast<int>(random() % 400);
      const int count = 1 + static_cast<int>(random() % 60);
      if (random() % 3 == 0) {
        std::vector<std::string> keys;
        for (int i = first; i < first + count; ++i) {
          keys.push_back("k" + std::to_string(i));
          alive.erase(i);
        }
        REQUIRE(db.remove(keys).ok());
      } else {
        REQUIRE(db.add(numbered(first, count)).ok());
        for (int i = first; i < first + count; ++i) alive.insert(i);
      }
      if (random() % 2 == 0) check_answers(db, alive);
    }
    REQUIRE(db.close().ok());
    if (const std::string file = std::filesystem::exists(path + "/cache") ? cache_file(path) : "";
        !file.empty()) {
      saved_caches.push_back(bytes_of(file));
      if (random() % 2 == 0) overwrite(file, saved_caches[random() % saved_caches.size()]);
    }
  }
  Database db = open_at(path);
  check_answers(db, alive);
  CHECK(db.verify().value().problems.empty());
}
