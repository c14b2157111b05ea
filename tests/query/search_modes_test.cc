// Words, meaning and both, through the Database; what is left out, passed over and shown.
#include <doctest/doctest.h>

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

Database open_filled(const std::string& path) {
  auto opened = query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  Database db = std::move(opened).value();
  const std::vector<Document> documents = {
      {.key = "lsm", .title = "", .text = "RocksDB keeps sorted runs of keys on disk"},
      {.key = "cat", .title = "", .text = "cats purr at night and sleep by day"},
      {.key = "code", .title = "", .text = "call os.path.join before opening the file"},
      {.key = "err", .title = "", .text = "the error ENOSPC means that the disk is full"},
      {.key = "dog", .title = "", .text = "dogs bark at cats in the night"},
  };
  const auto added = db.add(documents);
  REQUIRE_MESSAGE(added.ok(), added.status().to_string());
  return db;
}

SearchResult found(const Database& db, std::string_view query, SearchOptions options) {
  auto result = db.search(query, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  return std::move(result).value();
}

std::vector<std::string> keys_of(const SearchResult& result) {
  std::vector<std::string> keys;
  for (const Hit& hit : result.hits) keys.push_back(hit.key);
  return keys;
}

using Keys = std::vector<std::string>;

}  // namespace

TEST_CASE("keyword mode finds names and codes, and gives the exact cosine beside the score") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const SearchResult result = found(db, "ENOSPC", {.mode = SearchMode::kKeyword});
  REQUIRE(keys_of(result) == Keys{"err"});
  CHECK(result.hits[0].keyword_score > 0);
  CHECK(result.hits[0].fused_score == 0);
  const SearchResult by_vector = found(db, "ENOSPC", {.k = 5});
  for (const Hit& hit : by_vector.hits) {
    if (hit.key == "err") CHECK(hit.score == result.hits[0].score);
    CHECK(hit.keyword_score == 0);
  }
  CHECK(keys_of(found(db, "path.join", {.mode = SearchMode::kKeyword})) == Keys{"code"});
  CHECK(keys_of(found(db, "cats -dogs", {.mode = SearchMode::kKeyword})) == Keys{"cat"});
  CHECK(keys_of(found(db, "\"at night\"", {.mode = SearchMode::kKeyword})) == Keys{"cat"});
  CHECK(found(db, "zeppelin", {.mode = SearchMode::kKeyword}).hits.empty());
  CHECK(found(db, "?!", {.mode = SearchMode::kKeyword}).hits.empty());
}

TEST_CASE(
    "hybrid mode holds what either finds, with all three scores, and obeys quotes and minus") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const SearchResult result = found(db, "night cats", {.k = 5, .mode = SearchMode::kHybrid});
  CHECK(result.hits.size() == 5);
  CHECK(result.explain.mode == SearchMode::kHybrid);
  CHECK(result.explain.keyword_count == 2);
  for (std::size_t i = 1; i < result.hits.size(); ++i) {
    CHECK(result.hits[i - 1].fused_score >= result.hits[i].fused_score);
  }
  const auto hit = [&](const std::string& key) {
    for (const Hit& one : result.hits) {
      if (one.key == key) return one;
    }
    FAIL("no hit " << key);
    return Hit{};
  };
  CHECK(hit("cat").keyword_score > 0);
  CHECK(hit("lsm").keyword_score == 0);
  const auto without =
      keys_of(found(db, "night cats -dogs", {.k = 5, .mode = SearchMode::kHybrid}));
  CHECK(std::set<std::string>(without.begin(), without.end()) ==
        std::set<std::string>{"cat", "code", "err", "lsm"});
  CHECK(keys_of(found(db, "\"sorted runs\"", {.k = 5, .mode = SearchMode::kHybrid})) ==
        Keys{"lsm"});
  // All weight on one side is that side's order.
  SearchOptions words_only{.k = 2, .mode = SearchMode::kHybrid};
  words_only.fusion.vector_weight = 0;
  CHECK(keys_of(found(db, "night cats", words_only)) ==
        keys_of(found(db, "night cats", {.k = 2, .mode = SearchMode::kKeyword})));
  SearchOptions ranks{.k = 5, .mode = SearchMode::kHybrid};
  ranks.fusion = {.method = FusionOptions::Method::kReciprocalRank, .vector_weight = 1};
  CHECK(keys_of(found(db, "night cats", ranks)) == keys_of(found(db, "night cats", {.k = 5})));
}

TEST_CASE("an explanation says what was required and what was excluded") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  for (const SearchMode mode : {SearchMode::kKeyword, SearchMode::kHybrid}) {
    const SearchResult result = found(db, "+night cats -dogs -\"by day\" tar -xzf", {.mode = mode});
    CHECK(result.explain.required == std::vector<std::string>{"night"});
    CHECK(result.explain.excluded == std::vector<std::string>{"dogs", "by day"});
    CHECK(result.hits.empty());
  }
  const SearchResult by_vector = found(db, "night -dogs", {.k = 5});
  CHECK(by_vector.explain.excluded.empty());
  CHECK(by_vector.hits.size() == 5);
}

TEST_CASE("an option in the query costs no passage, in keyword and in hybrid mode") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  REQUIRE(db.add({{.key = "tar", .title = "", .text = "unpack with tar -xzf archive.tar.gz"},
                  {.key = "find", .title = "", .text = "find . -name lists each name"}})
              .ok());
  for (const SearchMode mode : {SearchMode::kKeyword, SearchMode::kHybrid}) {
    CHECK(keys_of(found(db, "tar -xzf archive", {.k = 1, .mode = mode})) == Keys{"tar"});
    CHECK(keys_of(found(db, "find -name", {.k = 1, .mode = mode})) == Keys{"find"});
  }
}

TEST_CASE("each mode's order is that of the score it ranks by") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const auto falls = [&](SearchMode mode, double Hit::*score) {
    const SearchResult result = found(db, "night cats disk full keys", {.k = 5, .mode = mode});
    CHECK(result.hits.size() >= 3);
    for (std::size_t i = 1; i < result.hits.size(); ++i)
      CHECK(result.hits[i - 1].*score >= result.hits[i].*score);
  };
  falls(SearchMode::kVector, &Hit::score);
  falls(SearchMode::kKeyword, &Hit::keyword_score);
  falls(SearchMode::kHybrid, &Hit::fused_score);
}

TEST_CASE("a fusion that names no weight has that of its method") {
  FusionOptions fusion;
  CHECK(fusion.weight() == FusionOptions::kWeightedVectorWeight);
  fusion.method = FusionOptions::Method::kReciprocalRank;
  CHECK(fusion.weight() == FusionOptions::kRankVectorWeight);
  fusion.vector_weight = 0.25;
  CHECK(fusion.weight() == 0.25);
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  SearchOptions ranks{.k = 1, .mode = SearchMode::kHybrid};
  ranks.fusion.method = FusionOptions::Method::kReciprocalRank;
  // First by words and by vector: twice half of 1 / (60 + 1).
  CHECK(found(db, "ENOSPC disk full", ranks).hits[0].fused_score == doctest::Approx(1.0 / 61));
}

TEST_CASE("offset, least score, variety and passages of one document shape the list") {
  TempFolder folder;
  Database db = open_filled(folder / "db");
  const Keys all = keys_of(found(db, "night cats", {.k = 5}));
  CHECK(keys_of(found(db, "night cats", {.k = 2, .offset = 1})) == Keys{all[1], all[2]});
  CHECK(found(db, "night cats", {.k = 2, .offset = 5}).hits.empty());
  const SearchResult scored = found(db, "night cats", {.k = 5});
  const double least = scored.hits[2].score;
  CHECK(found(db, "night cats", {.k = 5, .min_score = least - 1e-6}).hits.size() == 3);
  std::string text;
  for (int i = 0; i < 60; ++i) {
    text += "night cats walk on the roof number " + std::to_string(i) + ".\n\n";
  }
  REQUIRE(
      db.add({{.key = "long", .title = "", .text = text}}, {.split = {.passage_tokens = 16}}).ok());
  const SearchResult limited =
      found(db, "night cats", {.k = 5, .mode = SearchMode::kHybrid, .per_document = 1});
  const Keys keys = keys_of(limited);
  CHECK(std::set<std::string>(keys.begin(), keys.end()).size() == keys.size());
  CHECK(keys.size() == 5);
  const Keys varied = keys_of(found(db, "night cats", {.k = 5, .diversity_lambda = 0}));
  CHECK(std::set<std::string>(varied.begin(), varied.end()).size() > 1);
}

TEST_CASE("a snippet is a part of the passage and says where the words stand") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const SearchResult result =
      found(db, "disk full", {.mode = SearchMode::kKeyword, .snippet_bytes = 30});
  REQUIRE_FALSE(result.hits.empty());
  const Hit& hit = result.hits[0];
  CHECK(hit.key == "err");
  REQUIRE(hit.matches.size() == 2);
  const auto part = [&](const ByteRange& range) {
    return hit.text.substr(static_cast<std::size_t>(range.begin),
                           static_cast<std::size_t>(range.end - range.begin));
  };
  CHECK(part(hit.matches[0]) == "disk");
  CHECK(part(hit.matches[1]) == "full");
  CHECK(part(hit.snippet).find("disk is full") != std::string::npos);
  CHECK(found(db, "disk full", {.k = 1}).hits[0].snippet == ByteRange{});
}

TEST_CASE("what makes no sense is refused and named") {
  TempFolder folder;
  const Database db = open_filled(folder / "db");
  const auto refused = [&](const SearchOptions& options, const char* what) {
    const auto result = db.search("night", options);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kInvalidArgument);
    CHECK_MESSAGE(result.status().message().find(what) != std::string::npos,
                  result.status().message());
  };
  refused({.offset = -1}, "offset is -1");
  refused({.k = 10'000, .offset = 1}, "together");
  refused({.min_score = 1.5}, "min_score");
  refused({.per_document = -2}, "per_document");
  refused({.diversity_lambda = 2}, "diversity_lambda");
  refused({.snippet_bytes = -1}, "snippet_bytes");
  SearchOptions fusion;
  fusion.fusion.vector_weight = -0.5;
  refused(fusion, "vector_weight");
  const std::vector<float> vector(768, 1.0F);
  const auto by_words = db.search_vector(vector, {.mode = SearchMode::kHybrid});
  REQUIRE_FALSE(by_words.ok());
  CHECK(by_words.status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("words of brought vectors' texts are found without a model; another language rebuilds") {
  TempFolder folder;
  auto opened =
      query::open_database(folder / "db", {}, factory_of(std::make_shared<HashEncoder>()));
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  REQUIRE(db.add({{.key = "a", .title = "", .text = "running shoes", .vector = {1, 0}},
                  {.key = "b", .title = "", .text = "a run of luck", .vector = {0, 1}}})
              .ok());
  const SearchOptions words{.mode = SearchMode::kKeyword};
  CHECK(found(db, "run", words).hits.size() == 2);
  CHECK(found(db, "run", words).hits[0].score == 0);
  CHECK_FALSE(db.search("run").ok());
  REQUIRE(db.set_attribute("default", "nestor.language", "none").ok());
  CHECK(keys_of(found(db, "run", words)) == Keys{"b"});
  const Status unknown = db.set_attribute("default", "nestor.language", "klingon");
  CHECK(unknown.code() == StatusCode::kInvalidArgument);
  CHECK(keys_of(found(db, "run", words)) == Keys{"b"});
}

TEST_CASE("a database of format 1 opened read-only says so, and what words need") {
  OpenOptions options;
  options.read_only = true;
  const auto opened = query::open_database(nestor::testing::tests_path("compat/v1"), options,
                                           factory_of(std::make_shared<HashEncoder>()));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  const Database& db = opened.value();
  CHECK(db.stats().value().format_version == 1);
  const auto words = db.search("given", {.collection = "given", .mode = SearchMode::kKeyword});
  REQUIRE_FALSE(words.ok());
  CHECK(words.status().code() == StatusCode::kFailedPrecondition);
  CHECK(words.status().message().find("open") != std::string::npos);
  const std::vector<float> vector = {1, 0, 0, 0};
  const auto nearest =
      db.search_vector(vector, {.collection = "given", .filter = Filter::field("key") == "x"});
  REQUIRE_MESSAGE(nearest.ok(), nearest.status().to_string());
  CHECK(nearest.value().hits.size() == 1);
}
