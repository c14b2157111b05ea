// A read-only Database beside its writer: refresh brings answers level without loading anew, and
// readers in other processes only ever see committed states.
#include <doctest/doctest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "query/open_database.h"
#include "tests/storage/store_fixtures.h"
#include "tests/support/hash_encoder.h"

using namespace nestor;
using nestor::storage::testing::child_database;
using nestor::storage::testing::child_says;
using nestor::storage::testing::ChildProcess;
using nestor::storage::testing::folder_bytes;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

Database open_at(const std::string& path, bool read_only,
                 std::vector<std::string>* messages = nullptr) {
  OpenOptions options{.read_only = read_only};
  if (messages != nullptr) {
    options.log = [messages](LogLevel, std::string_view text) { messages->emplace_back(text); };
  }
  auto opened = query::open_database(path, options, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::vector<Document> numbered(int first, int count) {
  std::vector<Document> documents;
  for (int i = first; i < first + count; ++i) {
    documents.push_back({.key = "k" + std::to_string(i),
                         .text = "number n" + std::to_string(i),
                         .metadata = {{"even", i % 2 == 0}}});
  }
  return documents;
}

std::vector<std::string> keys_of(int first, int count) {
  std::vector<std::string> keys;
  for (int i = first; i < first + count; ++i) keys.push_back("k" + std::to_string(i));
  return keys;
}

RefreshReport must_refresh(Database& db) {
  const auto report = db.refresh();
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return report.value();
}

std::vector<std::pair<std::string, float>> answers(const Database& db, const std::string& question,
                                                   const SearchOptions& options) {
  const auto result = db.search(question, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  std::vector<std::pair<std::string, float>> hits;
  for (const Hit& hit : result.value().hits)
    hits.emplace_back(hit.key, static_cast<float>(hit.score));
  std::sort(hits.begin(), hits.end());
  return hits;
}

// The same answers as a handle that was opened just now, by meaning, words and filter.
void check_level(const Database& reader, const std::string& path) {
  const Database fresh = open_at(path, true);
  const auto even = Filter::parse("even == true");
  REQUIRE(even.ok());
  for (const SearchOptions& options :
       {SearchOptions{.k = 10'000}, SearchOptions{.k = 10'000, .mode = SearchMode::kKeyword},
        SearchOptions{.k = 10'000, .filter = even.value()}}) {
    CHECK(answers(reader, "number n7 n31 n1200", options) ==
          answers(fresh, "number n7 n31 n1200", options));
  }
  CHECK(reader.count().value() == fresh.count().value());
  CHECK(reader.stats().value().sequence == fresh.stats().value().sequence);
}

}  // namespace

TEST_CASE("a refreshed reader answers as one opened anew, and its index is caught up in memory") {
  TempFolder folder;
  const std::string path = folder / "db";
  Database writer = open_at(path, false);
  REQUIRE(writer.add(numbered(0, 300)).ok());
  std::vector<std::string> messages;
  Database reader = open_at(path, true, &messages);
  check_level(reader, path);
  CHECK(!must_refresh(reader).changed);
  messages.clear();
  std::uint64_t last = 0;
  for (int step = 0; step < 12; ++step) {
    REQUIRE(writer.add(numbered(300 + step * 100, 100)).ok());
    REQUIRE(writer.remove(keys_of(step * 90, 80)).ok());
    const auto files = folder_bytes(path);
    const RefreshReport report = must_refresh(reader);
    CHECK(report.changed);
    CHECK(report.sequence > last);
    last = report.sequence;
    check_level(reader, path);
    CHECK(folder_bytes(path) == files);
  }
  for (const std::string& message : messages) FAIL_CHECK(message);
  CHECK(!must_refresh(reader).changed);
  CHECK(!must_refresh(writer).changed);
  CHECK(must_refresh(writer).sequence == last);
}

TEST_CASE("a reader too far behind for the journal, or for memory, loads its index anew") {
  TempFolder folder;
  const std::string path = folder / "db";
  Database writer = open_at(path, false);
  REQUIRE(writer.add(numbered(0, 50)).ok());
  Database reader = open_at(path, true);
  check_level(reader, path);
  for (int i = 0; i < 1'010; ++i) REQUIRE(writer.add(numbered(50 + i, 1)).ok());
  CHECK(must_refresh(reader).changed);
  check_level(reader, path);
  // Eight times as many as the codes were trained on.
  REQUIRE(writer.add(numbered(2'000, 8'000)).ok());
  CHECK(must_refresh(reader).changed);
  check_level(reader, path);
  REQUIRE(writer.add(numbered(12'000, 1)).ok());
  CHECK(must_refresh(reader).changed);
  check_level(reader, path);
}

TEST_CASE("a reader of an empty database, new collections and attributes follow too") {
  TempFolder folder;
  const std::string path = folder / "db";
  Database writer = open_at(path, false);
  Database reader = open_at(path, true);
  CHECK(reader.search("number").value().hits.empty());
  REQUIRE(writer.add(numbered(0, 20)).ok());
  REQUIRE(writer.add({{.key = "v", .text = "brought", .vector = {1, 2, 3}}}, {.collection = "own"})
              .ok());
  REQUIRE(writer.set_attribute("own", "from", "here").ok());
  CHECK(reader.attribute("own", "from").status().code() == StatusCode::kNotFound);
  CHECK(must_refresh(reader).changed);
  check_level(reader, path);
  CHECK(reader.attribute("own", "from").value() == "here");
  CHECK(reader.search_vector(std::vector<float>{1, 2, 3}, {.collection = "own"})
            .value()
            .hits.size() == 1);
  REQUIRE(writer.set_attribute("own", "from", "there").ok());
  CHECK(must_refresh(reader).changed);
  CHECK(reader.attribute("own", "from").value() == "there");
}

TEST_CASE("searches of other threads go on through refreshes, each in one state") {
  TempFolder folder;
  const std::string path = folder / "db";
  Database writer = open_at(path, false);
  REQUIRE(writer.add(numbered(0, 40)).ok());
  Database reader = open_at(path, true);
  std::atomic<int> wrong = 0;
  std::atomic<int> searches = 0;
  std::jthread searching([&](const std::stop_token& done) {
    while (!done.stop_requested()) {
      const auto result = reader.search("number", {.k = 1'000});
      // Each batch takes as many away as it brings.
      if (!result.ok() || result.value().hits.size() != 40) ++wrong;
      ++searches;
    }
  });
  for (int i = 0; i < 60; ++i) {
    AddOptions options;
    options.removals = keys_of(i, 1);
    REQUIRE(writer.add(numbered(40 + i, 1), options).ok());
    CHECK(must_refresh(reader).changed);
  }
  searching.request_stop();
  searching.join();
  CHECK(wrong == 0);
  CHECK(searches > 0);
}

namespace {

// The writer's step i holds the document "step" that says i, and d(i - 9) to d(i).
constexpr int kWindow = 10;

std::set<std::string> keys_at(int step) {
  std::set<std::string> keys = {"step"};
  for (int i = std::max(0, step - kWindow + 1); i <= step; ++i)
    keys.insert("d" + std::to_string(i));
  return keys;
}

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

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A busy machine takes its time; the writer is ended by the parent.
constexpr double kMostSeconds = 240;
constexpr int kEnoughChanges = 40;

}  // namespace

TEST_CASE("(child) writes and removes and compacts and opens again" * doctest::skip()) {
  const std::string path = child_database();
  const auto start = std::chrono::steady_clock::now();
  int step = 0;
  while (seconds_since(start) < kMostSeconds) {
    {
      Database db = open_at(path, false);
      for (int i = 0; i < 25; ++i, ++step) {
        AddOptions options;
        if (step >= kWindow) options.removals = {"d" + std::to_string(step - kWindow)};
        // Big enough that closing makes tables.
        const std::string text = "word n" + std::to_string(step) + std::string(60'000, ' ');
        REQUIRE(db.add({{.key = "d" + std::to_string(step), .text = text},
                        {.key = "step", .text = "word", .metadata = {{"step", step}}}},
                       options)
                    .ok());
        if (step == 0) child_says("begun");
      }
    }
    rewrite_tables(path);
  }
}

TEST_CASE("(child) refreshes and checks every answer" * doctest::skip()) {
  const std::string path = child_database();
  Database db = open_at(path, true);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t last = 0;
  int changes = 0;
  int wrong = 0;
  while (changes < kEnoughChanges && seconds_since(start) < kMostSeconds) {
    const auto refreshed = db.refresh();
    if (!refreshed.ok()) {
      child_says("refresh: " + refreshed.status().to_string());
      return;
    }
    wrong += refreshed.value().sequence < last;
    changes += refreshed.value().changed;
    last = refreshed.value().sequence;
    const auto document = db.get("step");
    if (!document.ok()) {
      child_says("get: " + document.status().to_string());
      return;
    }
    const auto step =
        std::get<std::int64_t>(document.value().metadata.at("step").scalar().variant());
    const std::set<std::string> expected = keys_at(static_cast<int>(step));
    const auto listed = db.list_keys();
    wrong += !listed.ok() ||
             std::set<std::string>(listed.value().begin(), listed.value().end()) != expected;
    for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword}) {
      const auto found = db.search("word", {.k = 1'000, .mode = mode});
      if (!found.ok()) {
        child_says("search: " + found.status().to_string());
        return;
      }
      std::set<std::string> keys;
      for (const Hit& hit : found.value().hits) keys.insert(hit.key);
      wrong += keys != expected;
    }
  }
  child_says(wrong == 0 && changes == kEnoughChanges ? "right " + std::to_string(changes)
                                                     : "wrong " + std::to_string(wrong) + " of " +
                                                           std::to_string(changes) + " changes");
}

TEST_CASE("two reading processes beside a writer that compacts see only committed states") {
  TempFolder folder;
  const std::string path = folder / "db";
  ChildProcess writer("(child) writes and removes and compacts and opens again", path);
  REQUIRE(writer.read_line() == "begun");
  ChildProcess first("(child) refreshes and checks every answer", path);
  ChildProcess second("(child) refreshes and checks every answer", path);
  for (ChildProcess* reader : {&first, &second}) {
    const std::string said = reader->read_line();
    CHECK_MESSAGE(said.substr(0, 6) == "right ", said);
  }
}
