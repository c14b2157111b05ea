// Questions of several parts through the Database: texts, vectors and documents, near and away.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/vector_math.h"
#include "nestor/database.h"
#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

using Keys = std::vector<std::string>;

Database open_filled(const std::string& path) {
  auto opened = query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  Database db = std::move(opened).value();
  const std::vector<Document> documents = {
      {.key = "lsm", .title = "", .text = "sorted runs of keys on disk"},
      {.key = "tree", .title = "", .text = "balanced trees of keys on disk"},
      {.key = "cat", .title = "", .text = "cats purr at night"},
      {.key = "dog", .title = "", .text = "dogs bark at night"},
      {.key = "car", .title = "", .text = "fast cars on the road"},
  };
  const auto added = db.add(documents);
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  return db;
}

// (rows) of random numbers, as documents with a vector each.
Database open_vectors(const std::string& path, int rows, int width, Metric metric) {
  Database db = Database::open(path).value();
  REQUIRE(db.create_collection("own", {.vector_width = width, .metric = metric}).ok());
  std::vector<Document> documents;
  std::uint64_t state = 88172645463325252ULL;
  for (int row = 0; row < rows; ++row) {
    Document document{.key = std::to_string(row), .title = "", .text = "t"};
    for (int d = 0; d < width; ++d) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      document.vector.push_back(static_cast<float>(state >> 40) / 8388608.0F - 1);
    }
    documents.push_back(std::move(document));
  }
  AddOptions options;
  options.collection = "own";
  REQUIRE(db.add(documents, options).ok());
  return db;
}

SearchResult found(const Database& db, const Query& query, const SearchOptions& options = {}) {
  auto result = db.search(query, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  return std::move(result).value();
}

Keys keys_of(const SearchResult& result) {
  Keys keys;
  for (const Hit& hit : result.hits) keys.push_back(hit.key);
  return keys;
}

double score_of(const SearchResult& result, const std::string& key) {
  for (const Hit& hit : result.hits) {
    if (hit.key == key) return hit.score;
  }
  FAIL("no hit " << key);
  return 0;
}

}  // namespace

TEST_CASE("one text is the plain search to the last bit") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const SearchResult plain = db.search("keys on disk", {.k = 5}).value();
  const SearchResult parts = found(db, {.like = {.texts = {{"keys on disk", 3}}}}, {.k = 5});
  REQUIRE(keys_of(parts) == keys_of(plain));
  for (std::size_t i = 0; i < 5; ++i) CHECK(parts.hits[i].score == plain.hits[i].score);
  CHECK(parts.explain.query_vectors == 1);
}

TEST_CASE("more like this: the document's neighbours, without itself, in every mode that can") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const SearchResult result = found(db, {.like = {.keys = {{"lsm"}}}}, {.k = 5});
  CHECK(result.hits.size() == 4);
  CHECK(keys_of(result)[0] == "tree");
  CHECK(found(db, {.like = {.keys = {{"lsm"}}}}, {.k = 1}).hits.size() == 1);
  SearchOptions words{.k = 5, .mode = SearchMode::kKeyword};
  CHECK(keys_of(found(db, {.like = {.texts = {{"night"}}, .keys = {{"cat"}}}}, words)) ==
        Keys{"dog"});
  words.mode = SearchMode::kHybrid;
  CHECK(found(db, {.like = {.texts = {{"night"}}, .keys = {{"cat"}}}}, words).hits.size() == 4);
  const auto missing = db.search(Query{.like = {.keys = {{"zebra"}}}});
  CHECK(missing.status().code() == StatusCode::kNotFound);
  CHECK(missing.status().message().find("zebra") != std::string::npos);
}

TEST_CASE("more like a long document is near to the mean of its passages") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  std::string text;
  for (int i = 0; i < 40; ++i) text += "dogs bark at the moon. cats purr at night.\n\n";
  AddOptions options;
  options.split.passage_tokens = 16;
  REQUIRE(db.add({{.key = "long", .title = "", .text = text}}, options).ok());
  const SearchResult result = found(db, {.like = {.keys = {{"long"}}}}, {.k = 5});
  REQUIRE(result.hits.size() == 5);
  const Keys keys = keys_of(result);
  CHECK(std::find(keys.begin(), keys.end(), "long") == keys.end());
  CHECK((keys[0] == "cat" || keys[0] == "dog"));
}

TEST_CASE("what to be away from goes down, and keys of it are left out") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const Query plain{.like = {.texts = {{"night"}}}};
  const Query without_dogs{.like = {.texts = {{"night"}}}, .unlike = {.texts = {{"dogs bark"}}}};
  CHECK(score_of(found(db, plain, {.k = 5}), "dog") >
        score_of(found(db, without_dogs, {.k = 5}), "dog") + 0.1);
  CHECK(keys_of(found(db, without_dogs, {.k = 5}))[0] == "cat");
  const Query not_like_dog{.like = {.texts = {{"night"}}}, .unlike = {.keys = {{"dog"}}}};
  const Keys keys = keys_of(found(db, not_like_dog, {.k = 5}));
  CHECK(keys.size() == 4);
  CHECK(std::find(keys.begin(), keys.end(), "dog") == keys.end());
}

TEST_CASE("all of several texts prefers what has both, best of them what has either") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  REQUIRE(db.add({{.key = "both", .title = "", .text = "purr road"}}).ok());
  const QueryParts texts{.texts = {{"cats purr at night"}, {"fast cars on the road"}}};
  CHECK(keys_of(found(db, {.like = texts}, {.k = 6})).size() == 6);
  const SearchResult best = found(db, {.like = texts, .combination = Combination::kBest}, {.k = 6});
  CHECK(best.explain.query_vectors == 2);
  const Keys keys = keys_of(best);
  CHECK((keys[0] == "cat" || keys[0] == "car"));
  CHECK((keys[1] == "cat" || keys[1] == "car"));
  // Each is as near as to its own text alone.
  CHECK(score_of(best, "cat") ==
        score_of(db.search("cats purr at night", {.k = 6}).value(), "cat"));
  CHECK(score_of(best, "car") ==
        score_of(db.search("fast cars on the road", {.k = 6}).value(), "car"));
  for (std::size_t i = 1; i < best.hits.size(); ++i)
    CHECK(best.hits[i - 1].score >= best.hits[i].score);
}

TEST_CASE("several vectors find what a scan by hand finds, for each metric and combination") {
  for (const Metric metric : {Metric::kCosine, Metric::kDot, Metric::kL2}) {
    TempFolder folder;
    const Database db = open_vectors(folder / "db", 300, 7, metric);
    std::vector<Document> documents;
    Query query;
    query.like.vectors = {{{1, 0, -1, 0.5F, 0, 0, 2}}, {{0, 3, 1, 0, -0.2F, 1, 0}}};
    for (const Combination combination : {Combination::kAll, Combination::kBest}) {
      query.combination = combination;
      const SearchResult all = found(db, query, {.k = 300, .collection = "own"});
      REQUIRE(all.hits.size() == 300);
      const SearchResult few = found(db, query, {.k = 20, .collection = "own"});
      REQUIRE(few.hits.size() == 20);
      for (std::size_t i = 0; i < 20; ++i) {
        CHECK(few.hits[i].key == all.hits[i].key);
        CHECK(few.hits[i].score == all.hits[i].score);
        CHECK(all.hits[i].score >= all.hits[i + 1].score);
      }
      if (combination == Combination::kAll) continue;
      std::map<std::string, double> best;
      for (const auto& vector : query.like.vectors) {
        const auto alone = db.search_vector(vector.value, {.k = 300, .collection = "own"});
        for (const Hit& hit : alone.value().hits) {
          const auto known = best.emplace(hit.key, hit.score).first;
          known->second = std::max(known->second, hit.score);
        }
      }
      for (const Hit& hit : all.hits) CHECK(hit.score == best.at(hit.key));
    }
  }
}

TEST_CASE("external collections need no model for vectors and keys, and refuse texts by meaning") {
  TempFolder folder;
  const Database db = open_vectors(folder / "db", 50, 4, Metric::kCosine);
  const SearchOptions own{.k = 50, .collection = "own"};
  const SearchResult like = found(db, {.like = {.keys = {{"7"}}}}, own);
  CHECK(like.hits.size() == 49);
  CHECK(db.search(Query{.like = {.texts = {{"t"}}}}, own).status().code() ==
        StatusCode::kInvalidArgument);
  SearchOptions both = own;
  both.mode = SearchMode::kHybrid;
  CHECK(db.search(Query{.like = {.texts = {{"t"}}}}, both).status().code() ==
        StatusCode::kInvalidArgument);
  const SearchResult hybrid = found(db, {.like = {.texts = {{"t"}}, .keys = {{"7"}}}}, both);
  CHECK(hybrid.hits.size() == 49);
  CHECK(hybrid.hits[0].keyword_score > 0);
}

TEST_CASE("questions out of range are refused with what was found") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const auto refused = [&](const Query& query, const std::string& says,
                           const SearchOptions& options = {}) {
    const Status status = db.search(query, options).status();
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK_MESSAGE(status.message().find(says) != std::string::npos, status.message());
  };
  refused({}, "nothing to be like");
  refused({.unlike = {.texts = {{"a"}}}}, "nothing to be like");
  refused({.like = {.texts = {{"a", 0}}}}, "weight is 0");
  refused({.like = {.texts = {{"a", -1}}}}, "weight is -1");
  refused({.like = {.texts = {{"a", std::nan("")}}}}, "weight is nan");
  refused({.like = {.texts = {{"a\xff"}}}}, "not UTF-8 at byte 1");
  refused({.like = {.texts = {{"a"}}}, .unlike_weight = 11}, "unlike_weight");
  refused({.like = {.texts = {{"a", 1}, {"b", 2}}}, .combination = Combination::kBest},
          "different weights");
  refused({.like = {.texts = std::vector<Weighted<std::string>>(101, {"a"})}}, "101 parts");
  refused({.like = {.texts = {{"a"}}, .vectors = {{{1, 2}}}}}, "2 components");
  refused({.like = {.keys = {{"cat"}}}}, "no words", {.mode = SearchMode::kHybrid});
  refused({.like = {.texts = {{"cats"}}}, .unlike = {.texts = {{"cats"}}}, .unlike_weight = 1},
          "cancel out");
}

TEST_CASE("texts without words and an empty database answer with nothing") {
  TempFolder folder;
  auto opened =
      query::open_database(folder / "db", {}, factory_of(std::make_shared<HashEncoder>()));
  const Database db = std::move(opened).value();
  CHECK(found(db, {.like = {.texts = {{"a"}}}}).hits.empty());
  CHECK(found(db, {.like = {.vectors = {{{1, 2}}}}}).hits.empty());
}
