// Searches of many questions at once through the Database: one walk over the codes for all of them,
// and the answers of searches one by one.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

constexpr int kDocuments = 4000;  // over the rows at which codes are trained
constexpr int kWords = 300;

std::string words_of(int i) {
  std::minstd_rand random(static_cast<unsigned>(i + 1));
  std::string text;
  for (int word = 0; word < 8; ++word) text += "w" + std::to_string(random() % kWords) + " ";
  return text;
}

Database open_filled(const std::string& path) {
  auto opened = query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  Database db = std::move(opened).value();
  std::vector<Document> documents;
  for (int i = 0; i < kDocuments; ++i) {
    documents.push_back(
        {.key = "k" + std::to_string(i), .title = "", .text = words_of(i), .metadata = {{"i", i}}});
  }
  const auto added = db.add(documents);
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  std::vector<std::string> removed;
  for (int i = 0; i < kDocuments; i += 11) removed.push_back("k" + std::to_string(i));
  REQUIRE(db.remove(removed).ok());
  return db;
}

void check_same(const SearchResult& together, const SearchResult& alone) {
  REQUIRE(together.hits.size() == alone.hits.size());
  for (std::size_t i = 0; i < alone.hits.size(); ++i) {
    REQUIRE(together.hits[i].key == alone.hits[i].key);
    REQUIRE(together.hits[i].score == alone.hits[i].score);
    REQUIRE(together.hits[i].text == alone.hits[i].text);
    REQUIRE(together.hits[i].fused_score == alone.hits[i].fused_score);
  }
  const Explanation& one = together.explain;
  const Explanation& other = alone.explain;
  CHECK(one.exact == other.exact);
  CHECK(one.coarse_width == other.coarse_width);
  CHECK(one.coarse_bits == other.coarse_bits);
  CHECK(one.rerank_width == other.rerank_width);
  CHECK(one.scan_count == other.scan_count);
  CHECK(one.candidate_count == other.candidate_count);
  CHECK(one.exact_count == other.exact_count);
  CHECK(one.passages == other.passages);
  CHECK(one.matching == other.matching);
  CHECK(one.query_vectors == other.query_vectors);
}

std::vector<SearchOptions> ways_to_ask() {
  std::vector<SearchOptions> ways(8);
  for (SearchOptions& options : ways) options.mode = SearchMode::kVector;
  ways[1].k = 3;
  ways[1].offset = 7;
  ways[2].filter = Filter::parse("i < 3000").value();
  ways[3].filter = Filter::parse("i >= 1700 AND i < 1900").value();  // few: all of them scored
  ways[3].k = 40;
  ways[4].filter = Filter::parse("i > 100000").value();
  ways[5].candidate_count = 30;
  ways[5].k = 5;
  ways[6].mode = SearchMode::kHybrid;
  ways[6].filter = Filter::parse("i < 2500").value();
  ways[7].mode = SearchMode::kKeyword;
  return ways;
}

}  // namespace

TEST_CASE("a batch of questions in words gets the answers of searches one by one") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const auto ways = ways_to_ask();
  for (std::size_t way = 0; way < ways.size(); ++way) {
    CAPTURE(way);
    for (const int count : {1, 2, 3, 17, 70}) {
      CAPTURE(count);
      std::vector<std::string> questions;
      for (int i = 0; i < count; ++i) questions.push_back(words_of(i * 13 + count));
      const auto together = db.search_batch(questions, ways[way]);
      REQUIRE_MESSAGE(together.ok(), together.status().to_string());
      REQUIRE(together.value().size() == questions.size());
      for (std::size_t i = 0; i < questions.size(); ++i) {
        const auto alone = db.search(questions[i], ways[way]);
        REQUIRE_MESSAGE(alone.ok(), alone.status().to_string());
        check_same(together.value()[i], alone.value());
      }
    }
  }
}

TEST_CASE("a batch of vectors gets the answers of searches one by one, however many they are") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  std::vector<float> vectors;
  constexpr std::size_t kWidth = 768;
  std::mt19937 random(5);
  std::normal_distribution<float> component;
  for (std::size_t i = 0; i < 300 * kWidth; ++i) vectors.push_back(component(random));
  SearchOptions filtered;
  filtered.filter = Filter::parse("i >= 500").value();
  for (const SearchOptions& options : {SearchOptions(), filtered}) {
    for (const std::size_t count : {2, 300}) {
      const auto together = db.search_vectors(std::span(vectors).first(count * kWidth), options);
      REQUIRE_MESSAGE(together.ok(), together.status().to_string());
      REQUIRE(together.value().size() == count);
      for (std::size_t i = 0; i < count; ++i) {
        const auto alone =
            db.search_vector(std::span(vectors).subspan(i * kWidth, kWidth), options);
        REQUIRE_MESSAGE(alone.ok(), alone.status().to_string());
        check_same(together.value()[i], alone.value());
      }
    }
  }
}

TEST_CASE("a batch sees what was added and removed before it, and says when it was stopped") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  const std::vector<std::string> questions = {words_of(1), words_of(2), "w1 w2 w3"};
  REQUIRE(db.search_batch(questions).ok());
  REQUIRE(db.add({{.key = "new", .title = "", .text = words_of(1)}}).ok());
  SearchOptions options;
  options.k = 2;
  const auto added = db.search_batch(questions, options);
  REQUIRE(added.ok());
  CHECK((added.value()[0].hits[0].key == "new" || added.value()[0].hits[1].key == "new"));
  REQUIRE(db.remove({"new", "k1"}).ok());
  const auto removed = db.search_batch(questions, options);
  REQUIRE(removed.ok());
  for (const Hit& hit : removed.value()[0].hits) {
    CHECK(hit.key != "new");
    CHECK(hit.key != "k1");
  }
  options.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  CHECK(db.search_batch(questions, options).status().code() ==
        db.search(questions[0], options).status().code());
  CHECK(!db.search_batch(questions, options).ok());
}
