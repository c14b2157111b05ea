// Collections of brought vectors by inner product and by distance, through the Database.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "nestor/database.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::TempFolder;

namespace {

const std::vector<std::vector<float>> kVectors = {{1, 0}, {3, 4}, {0, 0}, {-2, 1}, {30, 40}};

Database open_with(const std::string& path, Metric metric) {
  Database db = Database::open(path).value();
  REQUIRE(db.create_collection("own", {.vector_width = 2, .metric = metric}).ok());
  std::vector<Document> documents;
  for (std::size_t i = 0; i < kVectors.size(); ++i) {
    documents.push_back(
        {.key = std::to_string(i), .title = "", .text = "word", .vector = kVectors[i]});
  }
  AddOptions options;
  options.collection = "own";
  const auto added = db.add(documents, options);
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  return db;
}

double by_hand(Metric metric, const std::vector<float>& a, const std::vector<float>& b) {
  if (metric == Metric::kDot) return a[0] * b[0] + a[1] * b[1];
  return -std::hypot(a[0] - b[0], a[1] - b[1]);
}

void check_scores(const Database& db, Metric metric, const SearchOptions& options,
                  std::size_t expected) {
  const std::vector<float> query{2, 3};
  const auto result = db.search_vector(query, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  const std::vector<Hit>& hits = result.value().hits;
  REQUIRE(hits.size() == expected);
  CHECK(result.value().explain.metric == metric);
  for (std::size_t i = 0; i < hits.size(); ++i) {
    CHECK(hits[i].score ==
          doctest::Approx(by_hand(metric, query, kVectors[std::stoul(hits[i].key)])));
    if (i > 0) CHECK(hits[i - 1].score >= hits[i].score);
  }
}

}  // namespace

TEST_CASE("scores are the product or minus the distance, best first, filtered and reopened too") {
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    TempFolder folder;
    {
      Database db = open_with(folder / "db", metric);
      check_scores(db, metric, {.k = 5, .collection = "own"}, 5);
      check_scores(db, metric, {.k = 2, .collection = "own"}, 2);
      const Filter filter = Filter::parse("key in [\"0\", \"1\", \"3\"]").value();
      check_scores(db, metric, {.k = 5, .collection = "own", .filter = filter}, 3);
      check_scores(db, metric, {.k = 2, .collection = "own", .filter = filter}, 2);
      CHECK(db.stats().value().collections[0].metric == metric);
      CHECK(db.verify().value().problems.empty());
      REQUIRE(db.close().ok());
    }
    const Database db = Database::open(folder / "db", {.read_only = true}).value();
    check_scores(db, metric, {.k = 5, .collection = "own"}, 5);
    CHECK(db.verify().value().notes.empty());
  }
}

TEST_CASE("the least score is in the metric's own numbers") {
  TempFolder folder;
  const Database db = open_with(folder / "db", Metric::kL2);
  SearchOptions options{.k = 5, .collection = "own"};
  options.min_score = -1.5;
  check_scores(db, Metric::kL2, options, 1);
  options.min_score = -4;
  check_scores(db, Metric::kL2, options, 3);
  TempFolder other;
  const Database cosine = open_with(other / "db", Metric::kDot);
  options.min_score = 18;
  check_scores(cosine, Metric::kDot, options, 2);
}

TEST_CASE("variety works in every metric and keeps the best first") {
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    TempFolder folder;
    const Database db = open_with(folder / "db", metric);
    const std::vector<float> query{2, 3};
    const auto plain = db.search_vector(query, {.k = 5, .collection = "own"});
    const auto varied =
        db.search_vector(query, {.k = 5, .collection = "own", .diversity_lambda = 0.5});
    REQUIRE(varied.ok());
    REQUIRE(varied.value().hits.size() == 5);
    CHECK(varied.value().hits[0].key == plain.value().hits[0].key);
    // 1 and 4 point the same way, so not both come first.
    CHECK(std::set<std::string>{varied.value().hits[0].key, varied.value().hits[1].key} !=
          std::set<std::string>{"1", "4"});
  }
}

TEST_CASE(
    "vectors too long, of cosines without a direction, and metrics out of place are refused") {
  TempFolder folder;
  Database db = open_with(folder / "db", Metric::kDot);
  AddOptions options;
  options.collection = "own";
  const auto add = [&](std::vector<float> vector) {
    return db.add({{.key = "new", .title = "", .text = "", .vector = std::move(vector)}}, options)
        .status();
  };
  CHECK(add({1e19F, 0}).code() == StatusCode::kInvalidArgument);
  CHECK(add({1e19F, 0}).message().find("dot") != std::string::npos);
  CHECK(add({9e17F, 0}).ok());
  CHECK(std::isfinite(
      db.search_vector(std::vector<float>{9e17F, 1}, {.collection = "own"}).value().hits[0].score));
  CHECK(db.create_collection("own", {.vector_width = 2, .metric = Metric::kL2}).status().code() ==
        StatusCode::kAlreadyExists);
  CHECK_FALSE(db.create_collection("own", {.vector_width = 2, .metric = Metric::kDot}).value());
  CHECK(db.create_collection("texts", {.metric = Metric::kL2}).status().code() ==
        StatusCode::kInvalidArgument);
  // Cosines have no place for zero, and their scores end at 1.
  REQUIRE(db.create_collection("angles", {.vector_width = 2}).ok());
  options.collection = "angles";
  CHECK(add({0, 0}).code() == StatusCode::kInvalidArgument);
  REQUIRE(add({0, 2}).ok());
  SearchOptions search{.collection = "angles"};
  search.min_score = 2;
  CHECK(db.search_vector(std::vector<float>{1, 1}, search).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("an index file by distance is used again, and made anew where it is damaged") {
  TempFolder folder;
  const auto answers = [&] {
    const Database db = Database::open(folder / "db", {.read_only = true}).value();
    const auto found =
        db.search_vector(std::vector<float>{2, 3}, {.k = 50, .collection = "own"}).value();
    std::vector<std::string> keys;
    for (const Hit& hit : found.hits) keys.push_back(hit.key);
    return std::pair(keys, db.verify().value().notes.size());
  };
  {
    Database db = open_with(folder / "db", Metric::kL2);
    std::vector<Document> more;
    for (int i = 0; i < 200; ++i) {
      more.push_back({.key = "more" + std::to_string(i),
                      .title = "",
                      .text = "",
                      .vector = {static_cast<float>(i) / 7, static_cast<float>(i % 13)}});
    }
    AddOptions options;
    options.collection = "own";
    REQUIRE(db.add(more, options).ok());
    REQUIRE(db.close().ok());
  }
  const auto [keys, notes] = answers();
  CHECK(keys.size() == 50);
  CHECK(notes == 0);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "db/cache")) {
    std::filesystem::resize_file(entry.path(), entry.file_size() - 1);
    ++files;
  }
  REQUIRE(files == 1);
  const auto [keys_again, notes_again] = answers();
  CHECK(keys_again == keys);
  CHECK(notes_again == 1);
}
