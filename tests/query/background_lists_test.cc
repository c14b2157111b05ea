// A collection that grows past the size at which its codes are sorted into lists: searches and
// writers go on, the answers stay those of the exact search.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

Database open_at(const std::string& path, std::atomic<int>* warnings = nullptr) {
  OpenOptions options;
  options.log = [warnings](LogLevel level, std::string_view) {
    if (warnings != nullptr && level == LogLevel::kWarning) ++*warnings;
  };
  auto opened = query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()),
                                     {.list_rows = 2000});
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

void add_numbered(Database& db, int first, int count) {
  std::vector<Document> documents;
  for (int i = first; i < first + count; ++i) {
    documents.push_back({.key = "k" + std::to_string(i),
                         .text = "n" + std::to_string(i) + " group" + std::to_string(i / 4)});
  }
  REQUIRE(db.add(documents).ok());
}

// The best of every fortieth document's own words is that document.
void check_found(const Database& db, int count, const std::set<int>& gone) {
  for (int i = 0; i < count; i += 40) {
    if (gone.contains(i)) continue;
    const std::string key = "k" + std::to_string(i);
    const auto found =
        db.search("n" + std::to_string(i) + " group" + std::to_string(i / 4), {.k = 3});
    REQUIRE_MESSAGE(found.ok(), found.status().to_string());
    REQUIRE(found.value().hits.size() == 3);
    CHECK(found.value().hits.front().key == key);
  }
}

}  // namespace

TEST_CASE("codes are sorted into lists beside searches and writers, and nothing is lost") {
  const TempFolder folder;
  const std::string path = folder / "db";
  std::atomic<int> warnings{0};
  std::set<int> gone;
  {
    Database db = open_at(path, &warnings);
    add_numbered(db, 0, 1900);
    check_found(db, 1900, gone);  // the index is there
    for (int round = 0; round < 12; ++round) {
      add_numbered(db, 1900 + 100 * round, 100);
      gone.insert(40 * round);
      REQUIRE(db.remove({"k" + std::to_string(40 * round)}).ok());
      check_found(db, 2000 + 100 * round, gone);
    }
    REQUIRE(db.close().ok());
  }
  Database db = open_at(path, &warnings);
  check_found(db, 3100, gone);
  CHECK(db.verify().value().problems.empty());
  CHECK(warnings == 0);
}

TEST_CASE("closing while lists are being built waits for nothing but the step at hand") {
  const TempFolder folder;
  for (int round = 0; round < 3; ++round) {
    Database db = open_at(folder / "db");
    check_found(db, 0, {});
    add_numbered(db, 2500 * round, 2500);
    REQUIRE(db.search("n1", {.k = 1}).ok());
    add_numbered(db, 2500 * round, 1);
    REQUIRE(db.close().ok());
  }
  const Database db = open_at(folder / "db");
  check_found(db, 7500, {});
}
