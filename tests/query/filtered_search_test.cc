// Searches and changes by filter through the Database: exactly the documents that match, as many
// hits as there are, whatever the share, the mode and the plan; and documents that expire.
#include <doctest/doctest.h>

#include <chrono>
#include <set>

#include "nestor/database.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

constexpr int kDocuments = 3000;  // over the rows at which codes are trained

Document numbered(int i) {
  return {.key = "k" + std::to_string(i),
          .title = "",
          .text = "number n" + std::to_string(i) + (i % 2 == 0 ? " even" : " odd"),
          .metadata = {{"i", i}, {"tags", {i % 10 == 0 ? "ten" : "other", "all"}}}};
}

Database open_at(const std::string& path) {
  auto opened = query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

Database open_filled(const std::string& path) {
  Database db = open_at(path);
  std::vector<Document> documents;
  for (int i = 0; i < kDocuments; ++i) documents.push_back(numbered(i));
  const auto added = db.add(documents);
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  return db;
}

Filter filter_of(std::string_view text) {
  auto parsed = Filter::parse(text);
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().to_string());
  return std::move(parsed).value();
}

std::vector<std::string> keys_of(const Database& db, std::string_view query,
                                 const SearchOptions& options) {
  const auto result = db.search(query, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  std::vector<std::string> keys;
  for (const Hit& hit : result.value().hits) keys.push_back(hit.key);
  return keys;
}

double seconds_from_now(double seconds) {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
             .count() +
         seconds;
}

}  // namespace

TEST_CASE("a filter gives the best k of those that match, at any share, by any plan and mode") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  for (const char* text : {"i < 1500", "i >= 2700", "\"ten\" in tags", "i < 30", "i == 7",
                           "i in [3, 2999]", "NOT i < 2995", "i > 5000"}) {
    CAPTURE(text);
    const Filter filter = filter_of(text);
    std::set<std::string> matching;
    for (int i = 0; i < kDocuments; ++i) {
      if (filter.matches(numbered(i))) matching.insert("k" + std::to_string(i));
    }
    const std::size_t wanted = std::min<std::size_t>(10, matching.size());
    // Exact over all of them: what the others must find.
    const auto exact =
        keys_of(db, "number n7", {.filter = filter, .coarse_width = 768, .rerank_width = 768});
    CHECK(exact.size() == wanted);
    for (const std::string& key : exact) CHECK(matching.contains(key));
    const auto by_codes = keys_of(db, "number n7", {.filter = filter});
    CHECK(by_codes.size() == wanted);
    if (wanted > 0) CHECK(by_codes[0] == exact[0]);
    CHECK(keys_of(db, "number n7", {.filter = filter, .coarse_width = 128}).size() == wanted);
    for (const std::string& key :
         keys_of(db, "even", {.mode = SearchMode::kKeyword, .filter = filter}))
      CHECK(matching.contains(key));
    const auto hybrid = keys_of(db, "number n7", {.mode = SearchMode::kHybrid, .filter = filter});
    CHECK(hybrid.size() == wanted);
    for (const std::string& key : hybrid) CHECK(matching.contains(key));
    const auto counted = db.count(filter);
    REQUIRE(counted.ok());
    CHECK(counted.value() == static_cast<std::int64_t>(matching.size()));
  }
  const auto found = db.search("number n7", {.filter = filter_of("i < 1500")});
  CHECK(found.value().explain.matching == 1500);
  // A rerank as wide as the scan of the codes is ranked by the rows, not by the codes.
  CHECK(keys_of(db, "number n7", {.k = 20, .rerank_width = 256, .candidate_count = kDocuments}) ==
        keys_of(db, "number n7", {.k = 20, .coarse_width = 256, .rerank_width = 256}));
  CHECK(found.value().explain.passages == kDocuments);
}

TEST_CASE(
    "the codes find what exact search finds, before and after they are trained and reopened") {
  TempFolder folder;
  {
    Database db = open_at(folder / "db");
    std::vector<Document> documents;
    for (int i = 0; i < 200; ++i) documents.push_back(numbered(i));
    REQUIRE(db.add(documents).ok());
    CHECK(keys_of(db, "number n77 odd", {.k = 1})[0] == "k77");
    documents.clear();
    for (int i = 200; i < kDocuments; ++i) documents.push_back(numbered(i));
    REQUIRE(db.add(documents).ok());
    for (const int i : {0, 77, 1024, 2999}) {
      CHECK(keys_of(db, numbered(i).text, {.k = 1})[0] == "k" + std::to_string(i));
    }
    REQUIRE(db.remove({"k77"}).ok());
  }
  Database db = open_at(folder / "db");
  for (const int i : {0, 78, 1024, 2999}) {
    CHECK(keys_of(db, numbered(i).text, {.k = 1})[0] == "k" + std::to_string(i));
  }
  for (const std::string& key : keys_of(db, numbered(77).text, {.k = 50})) CHECK(key != "k77");
  REQUIRE(db.add({numbered(77)}).ok());
  CHECK(keys_of(db, numbered(77).text, {.k = 1})[0] == "k77");
}

TEST_CASE("metadata changes without embedding; filters and searches see it at once") {
  TempFolder folder;
  auto encoder = std::make_shared<HashEncoder>();
  auto opened = query::open_database(folder / "db", {}, factory_of(encoder));
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  REQUIRE(db.add({numbered(1), numbered(2), numbered(3)}).ok());
  const SearchOptions red{.filter = filter_of("color == \"red\"")};
  CHECK(keys_of(db, "number", red).empty());
  const auto changed = db.change_metadata(
      {{.key = "k2", .set = {{"color", "red"}}, .unset = {"i"}}, {.key = "nobody", .set = {}}});
  REQUIRE_MESSAGE(changed.ok(), changed.status().to_string());
  CHECK(changed.value() == 1);
  CHECK(keys_of(db, "number", red) == std::vector<std::string>{"k2"});
  const auto document = db.get("k2");
  REQUIRE(document.ok());
  CHECK(document.value().metadata.contains("tags"));
  CHECK_FALSE(document.value().metadata.contains("i"));
  CHECK(db.list_keys(filter_of("i exists")).value() == std::vector<std::string>{"k1", "k3"});
  CHECK(db.verify().value().problems.empty());
}

TEST_CASE("removal by filter takes what matches and nothing else; an empty filter is refused") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  const auto removed = db.remove_matching(filter_of("i < 2990"));
  REQUIRE_MESSAGE(removed.ok(), removed.status().to_string());
  CHECK(removed.value() == 2990);
  CHECK(db.count().value() == 10);
  CHECK(keys_of(db, "number n5", {.k = 100}).size() == 10);
  CHECK(db.remove_matching(Filter()).status().code() == StatusCode::kInvalidArgument);
  CHECK(db.remove_matching(Filter::field("i") < "plain").status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(db.search("x", {.filter = Filter::field("i") < "plain"}).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(db.count().value() == 10);
  CHECK(db.verify().value().problems.empty());
}

TEST_CASE("what is added and what is removed in one call are one batch; the addition wins") {
  TempFolder folder;
  Database db = open_at(folder / "db");
  REQUIRE(db.add({numbered(1), numbered(2), numbered(3)}).ok());
  const auto before = db.stats().value().sequence;
  REQUIRE(db.add({numbered(2), numbered(4)}, {.removals = {"k1", "k4", "nobody"}}).ok());
  CHECK(db.stats().value().sequence == before + 1);
  CHECK(db.list_keys().value() == std::vector<std::string>{"k2", "k3", "k4"});
  CHECK(keys_of(db, "number n1 odd", {}).size() == 3);
}

TEST_CASE("an expired document is hidden everywhere and goes with the sweep") {
  TempFolder folder;
  Database db = open_at(folder / "db");
  Document gone = numbered(1);
  gone.metadata["_expires_at"] = seconds_from_now(-10);
  Document later = numbered(2);
  later.metadata["_expires_at"] = seconds_from_now(3600);
  REQUIRE(db.add({gone, later, numbered(3)}).ok());
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    const auto keys = keys_of(db, "number", {.mode = mode});
    CHECK(std::set<std::string>(keys.begin(), keys.end()) == std::set<std::string>{"k2", "k3"});
  }
  CHECK(keys_of(db, "number", {.coarse_width = 128}).size() == 2);
  CHECK(db.get("k1").status().code() == StatusCode::kNotFound);
  CHECK(db.get("k2").ok());
  CHECK(db.list_keys().value() == std::vector<std::string>{"k2", "k3"});
  CHECK(db.count().value() == 2);
  CHECK(db.remove_expired().value() == 1);
  CHECK(db.remove_expired().value() == 0);
  CHECK(db.stats().value().collections[0].documents == 2);
  Document wrong = numbered(5);
  wrong.metadata["_expires_at"] = "tomorrow";
  CHECK(db.add({wrong}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("questions about what the filter takes away still find the best of what it leaves") {
  const TempFolder folder;
  const Database db = open_filled(folder / "db");
  SearchOptions options{.k = 10, .filter = filter_of("\"other\" in tags AND i >= 100")};
  std::int64_t found = 0;
  std::int64_t all = 0;
  std::int64_t deepest = 0;
  for (int i = 0; i < 40; ++i) {
    // The words of documents that are not there.
    const std::string question =
        "number n" + std::to_string(i) + " n" + std::to_string(10 * i) + " apart";
    const auto by_plan = db.search(question, options);
    REQUIRE(by_plan.ok());
    deepest = std::max(deepest, by_plan.value().explain.scan_count);
    options.exact = true;
    const auto exact = keys_of(db, question, options);
    options.exact = false;
    const std::set<std::string> wanted(exact.begin(), exact.end());
    all += std::ssize(exact);
    for (const Hit& hit : by_plan.value().hits) found += wanted.contains(hit.key) ? 1 : 0;
  }
  CHECK(static_cast<double>(found) >= .99 * static_cast<double>(all));
  CHECK(deepest > 800);  // deeper than without a filter
}
