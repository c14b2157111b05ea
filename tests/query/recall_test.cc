#include <doctest/doctest.h>

#include "query/open_database.h"
#include "query/recall_measurement.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

Database open_at(const std::string& path, bool with_model = true) {
  const query::EncoderFactory none = [] {
    return Result<query::EncoderPointer>(Status(StatusCode::kModelMissing, "no model here"));
  };
  auto opened = query::open_database(
      path, {}, with_model ? factory_of(std::make_shared<HashEncoder>()) : none);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

void fill(Database& db, int count) {
  std::vector<Document> documents;
  for (int i = 0; i < count; ++i) {
    documents.push_back({.key = "k" + std::to_string(i),
                         .text = "Item n" + std::to_string(i) + " of group" +
                                 std::to_string(i / 5) + ". The rest is tail" +
                                 std::to_string(i / 11) + "."});
  }
  REQUIRE(db.add(documents).ok());
}

}  // namespace

TEST_CASE("recall is measured with sentences of the collection, and a plan is suggested") {
  const TempFolder folder;
  Database db = open_at(folder / "db");
  fill(db, 1500);
  const auto report = db.measure_recall({.k = 5, .sample = 40});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().passages == 1500);
  CHECK(report.value().questions == 40);
  CHECK(report.value().asked == "first sentences of passages");
  REQUIRE(report.value().plans.size() == 5);
  double cost = 0;
  for (const MeasuredPlan& plan : report.value().plans) {
    CAPTURE(plan.recall_target);
    CHECK(plan.recall <= 1);
    CHECK(plan.recall >= .8);
    CHECK(plan.least_recall <= plan.recall);
    CHECK(plan.p50_seconds > 0);
    CHECK(plan.p95_seconds >= plan.p50_seconds);
    if (plan.recall_target > 0) {
      CHECK(static_cast<double>(plan.scan_count) >= cost);
      cost = static_cast<double>(plan.scan_count);
    }
  }
  REQUIRE(report.value().suggested >= 0);
  CHECK(report.value().plans[static_cast<std::size_t>(report.value().suggested)].recall >= .99);
}

TEST_CASE("recall tells a plan that misses") {
  RecallReport report;
  report.plans = {{.coarse_width = 128}};
  const std::vector<std::set<query::PassageName>> truth(2, {{"missed", 0}, {"k1", 0}});
  const auto ask = [](std::size_t, const SearchOptions&) {
    SearchResult result;
    result.hits.emplace_back();
    result.hits.back().key = "k1";
    return Result<SearchResult>(result);
  };
  REQUIRE(query::measure_plans(truth, {}, ask, report).ok());
  CHECK(report.plans[0].recall == .5);
  CHECK(report.plans[0].least_recall == .5);
  CHECK(report.suggested == -1);
}

TEST_CASE("one's own questions are asked; without a model vectors stand in, and one's own fail") {
  const TempFolder folder;
  {
    Database db = open_at(folder / "db");
    fill(db, 300);
    const auto report = db.measure_recall({.questions = {"group3", "tail7", "n12"}});
    REQUIRE(report.ok());
    CHECK(report.value().questions == 3);
    CHECK(report.value().asked == "your own questions");
    CHECK(report.value().plans[2].recall == 1);
  }
  const Database db = open_at(folder / "db", false);
  const auto report = db.measure_recall({.sample = 20});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  CHECK(report.value().questions == 20);
  CHECK(report.value().asked == "vectors of passages with noise");
  CHECK(db.measure_recall({.questions = {"group3"}}).status().code() == StatusCode::kModelMissing);
}

TEST_CASE("recall under a filter counts what matches alone") {
  const TempFolder folder;
  Database db = open_at(folder / "db");
  fill(db, 1500);
  const auto report = db.measure_recall(
      {.k = 5, .sample = 20, .filter = Filter::parse("key prefix \"k12\"").value()});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  for (const MeasuredPlan& plan : report.value().plans) {
    CHECK(plan.recall == 1);
    CHECK(plan.candidate_count <= 111);
  }
}

TEST_CASE("brought vectors are measured too; nothing is measured of nothing") {
  const TempFolder folder;
  Database db = open_at(folder / "db", false);
  CHECK(db.measure_recall({}).value().questions == 0);
  REQUIRE(db.create_collection("own", {.vector_width = 3}).ok());
  CHECK(db.measure_recall({.collection = "own"}).value().questions == 0);
  std::vector<Document> documents;
  for (int i = 0; i < 50; ++i) {
    documents.push_back({.key = std::to_string(i),
                         .vector = std::vector<float>{1.0F, static_cast<float>(i), 2.0F}});
  }
  REQUIRE(db.add(documents, {.collection = "own"}).ok());
  const auto report = db.measure_recall({.collection = "own", .k = 3});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  REQUIRE(report.value().plans.size() == 1);
  CHECK(report.value().plans[0].recall == 1);
  CHECK(db.measure_recall({.collection = "none"}).status().code() == StatusCode::kNotFound);
}

TEST_CASE("what cannot be measured is refused with the limit") {
  const TempFolder folder;
  Database db = open_at(folder / "db");
  for (const RecallOptions& bad :
       {RecallOptions{.k = 0}, RecallOptions{.k = 1001}, RecallOptions{.sample = 0},
        RecallOptions{.recall_target = 0}, RecallOptions{.recall_target = 1.5},
        RecallOptions{.questions = {"\xff"}}}) {
    CHECK(db.measure_recall(bad).status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a batch of questions is answered as each of them alone") {
  const TempFolder folder;
  Database db = open_at(folder / "db");
  CHECK(db.search_batch({"nothing yet"}).value().size() == 1);
  fill(db, 1500);
  const std::vector<std::string> questions = {"group3", "tail7 n12", "!", "n12"};
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    SearchOptions options{.k = 5, .mode = mode};
    const auto together = db.search_batch(questions, options);
    REQUIRE_MESSAGE(together.ok(), together.status().to_string());
    REQUIRE(together.value().size() == questions.size());
    for (std::size_t i = 0; i < questions.size(); ++i) {
      const auto alone = db.search(questions[i], options).value();
      const auto& hits = together.value()[i].hits;
      REQUIRE(hits.size() == alone.hits.size());
      for (std::size_t h = 0; h < hits.size(); ++h) {
        CHECK(hits[h].key == alone.hits[h].key);
        CHECK(hits[h].score == alone.hits[h].score);
      }
      CHECK(together.value()[i].query_token_count == alone.query_token_count);
    }
  }
  CHECK(db.search_batch({}).value().empty());
  CHECK(db.search_batch({"a", "\xff"}).status().message() == "the query 1 is not UTF-8 at byte 0");
  const std::vector<float> two(std::size_t{2} * 768, .5F);
  CHECK(db.search_vectors(two).value().size() == 2);
  CHECK(db.search_vectors(std::span(two).first(5)).status().code() == StatusCode::kInvalidArgument);
}
