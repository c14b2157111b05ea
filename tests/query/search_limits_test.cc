// Deadlines and stops, the rerank callback, the cache of questions, and what memory is told of.
#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

#include "index/coarse_index.h"
#include "nestor/database.h"
#include "query/diversify.h"
#include "query/open_database.h"
#include "query/question_cache.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;
using std::chrono::steady_clock;

namespace {

struct Filled {
  explicit Filled(const std::string& path, const OpenOptions& options = {}, int documents = 30) {
    auto opened = query::open_database(path, options, factory_of(encoder));
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    db.emplace(std::move(opened).value());
    std::vector<Document> all;
    for (int i = 0; i < documents; ++i) {
      all.push_back(
          {.key = "d" + std::to_string(i),
           .title = "title",
           .text = "common word" + std::to_string(i % 7) + " number" + std::to_string(i)});
    }
    REQUIRE(db->add(all).ok());
  }
  std::shared_ptr<HashEncoder> encoder = std::make_shared<HashEncoder>();
  std::optional<Database> db;
};

std::vector<std::string> keys_of(const SearchResult& result) {
  std::vector<std::string> keys;
  for (const Hit& hit : result.hits) keys.push_back(hit.key);
  return keys;
}

// The last first.
Result<std::vector<double>> backwards(const RerankRequest& request) {
  std::vector<double> scores;
  for (std::size_t i = 0; i < request.candidates.size(); ++i)
    scores.push_back(static_cast<double>(i));
  return scores;
}

}  // namespace

TEST_CASE("a deadline that has passed ends every mode with its own code, one to come does not") {
  TempFolder folder;
  const Filled filled(folder / "db");
  for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
    SearchOptions options{.mode = mode};
    options.deadline = steady_clock::now() - std::chrono::milliseconds(1);
    CHECK(filled.db->search("common", options).status().code() == StatusCode::kDeadlineExceeded);
    options.deadline = steady_clock::now() + std::chrono::hours(1);
    CHECK(filled.db->search("common", options).value().hits.size() == 10);
  }
}

TEST_CASE("a deadline that passes while the question is embedded ends the search after that") {
  TempFolder folder;
  const Filled filled(folder / "db");
  filled.encoder->before_encode = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  };
  SearchOptions options;
  options.deadline = steady_clock::now() + std::chrono::milliseconds(5);
  const auto result = filled.db->search("common", options);
  CHECK(result.status().code() == StatusCode::kDeadlineExceeded);
  CHECK(result.status().message().find("deadline") != std::string::npos);
}

TEST_CASE("scans of rows, picks for variety and words stop in their midst") {
  index::CoarseIndex rows(2);
  std::vector<std::uint64_t> ids(5000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i + 1;
  REQUIRE(rows.add(ids, std::vector<float>(ids.size() * 2, 1)).ok());
  const std::vector<float> query{1, 0};
  std::stop_source stop;
  // Asked to stop by the first row that is looked at: no second block is.
  std::int64_t looked_at = 0;
  const auto admits = [&](std::uint64_t) {
    ++looked_at;
    stop.request_stop();
    return true;
  };
  CHECK(rows.search(query, 5000, admits, stop.get_token()).status().code() ==
        StatusCode::kCancelled);
  CHECK(looked_at == 1024);
  const std::vector<double> relevance(3, 1.0);
  const std::vector<float> vectors(6, 1);
  CHECK(query::select_mmr(relevance, vectors, 2, 0.5, 3, stop.get_token()).status().code() ==
        StatusCode::kCancelled);
}

TEST_CASE("a rerank callback sees text, title and scores, and its order is the order") {
  TempFolder folder;
  const Filled filled(folder / "db");
  const SearchResult plain = filled.db->search("common word3", {.k = 20}).value();
  std::vector<std::string> seen;
  SearchOptions options{.k = 3};
  options.rerank_count = 20;
  options.rerank = [&](const RerankRequest& request) {
    CHECK(request.query == "common word3");
    for (const Hit& hit : request.candidates) {
      seen.push_back(hit.key);
      CHECK(hit.title == "title");
      CHECK(hit.text.find("common") == 0);
    }
    return backwards(request);
  };
  const SearchResult result = filled.db->search("common word3", options).value();
  CHECK(seen == keys_of(plain));
  REQUIRE(result.hits.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(result.hits[i].key == plain.hits[19 - i].key);
    CHECK(result.hits[i].score == plain.hits[19 - i].score);
    CHECK(result.hits[i].rerank_score == 19.0 - static_cast<double>(i));
  }
  // The offset counts in the new order; hits behind the candidates follow in the old one.
  options.offset = 18;
  options.k = 4;
  options.rerank = backwards;
  const SearchResult later = filled.db->search("common word3", options).value();
  REQUIRE(later.hits.size() == 4);
  CHECK(later.hits[0].key == plain.hits[1].key);
  CHECK(later.hits[1].key == plain.hits[0].key);
  CHECK_FALSE(later.hits[2].rerank_score.has_value());
  CHECK(later.hits[2].score >= later.hits[3].score);
}

TEST_CASE("what goes wrong in a rerank callback is a status of the search") {
  TempFolder folder;
  const Filled filled(folder / "db");
  const auto code_of = [&](RerankCallback callback, SearchOptions options = {}) {
    options.rerank = std::move(callback);
    return filled.db->search("common", options).status().code();
  };
  using Scores = Result<std::vector<double>>;
  CHECK(code_of([](const auto&) -> Scores { return Status(StatusCode::kIoError, "no"); }) ==
        StatusCode::kIoError);
  CHECK(code_of([](const auto&) -> Scores { throw std::runtime_error("thrown"); }) ==
        StatusCode::kInternal);
  CHECK(code_of([](const auto&) -> Scores { throw 7; }) == StatusCode::kInternal);
  CHECK(code_of([](const auto&) -> Scores { return std::vector<double>(3); }) ==
        StatusCode::kInvalidArgument);
  CHECK(code_of([](const RerankRequest& request) -> Scores {
          return std::vector<double>(request.candidates.size(),
                                     std::numeric_limits<double>::quiet_NaN());
        }) == StatusCode::kInvalidArgument);
  CHECK(code_of(backwards, {.rerank_count = 0}) == StatusCode::kInvalidArgument);
  // It may look at the deadline; after it the search does.
  SearchOptions hurried;
  hurried.deadline = steady_clock::now() + std::chrono::milliseconds(200);
  CHECK(code_of(
            [](const RerankRequest& request) {
              std::this_thread::sleep_until(request.deadline);
              return backwards(request);
            },
            hurried) == StatusCode::kDeadlineExceeded);
}

TEST_CASE("a question asked again is not embedded again, and explain says so") {
  TempFolder folder;
  const Filled filled(folder / "db");
  const std::int64_t before = filled.encoder->encoded_count();
  const SearchResult first = filled.db->search("common word1").value();
  const SearchResult again = filled.db->search("common word1").value();
  CHECK(filled.encoder->encoded_count() == before + 1);
  CHECK(first.explain.query_cache_hits == 0);
  CHECK(again.explain.query_cache_hits == 1);
  CHECK(again.query_token_count == first.query_token_count);
  CHECK(keys_of(again) == keys_of(first));
  // Another role is another question; a part of several may be one that is known.
  CHECK(filled.db->search("common word1", {.role = Role::kFactChecking})
            .value()
            .explain.query_cache_hits == 0);
  const Query parts{.like = {.texts = {{"common word1"}, {"other"}}}};
  CHECK(filled.db->search(parts).value().explain.query_cache_hits == 1);
  CHECK(filled.encoder->encoded_count() == before + 3);
}

TEST_CASE("no cache of questions where it is given no room") {
  TempFolder folder;
  OpenOptions options;
  options.query_cache_bytes = 0;
  const Filled filled(folder / "db", options);
  for (int i = 0; i < 2; ++i)
    CHECK(filled.db->search("common").value().explain.query_cache_hits == 0);
  CHECK(filled.db->memory_usage().value().query_cache == 0);
}

TEST_CASE("the cache knows model, mode and role apart, and drops the oldest for room") {
  query::QuestionCache cache(16'000);
  ModelInfo one;
  one.space = "s";
  one.precision = "int8";
  ModelInfo other_mode = one;
  other_mode.precision = "f32";
  ModelInfo other_space = one;
  other_space.space = "t";
  const Embedding embedding{.vector = std::vector<float>(768, 0.5F), .token_count = 9};
  cache.put(one, Role::kQuery, "a", embedding);
  REQUIRE(cache.find(one, Role::kQuery, "a").has_value());
  CHECK(cache.find(one, Role::kQuery, "a")->vector == embedding.vector);
  CHECK(cache.find(one, Role::kQuery, "a")->token_count == 9);
  CHECK_FALSE(cache.find(other_mode, Role::kQuery, "a").has_value());
  CHECK_FALSE(cache.find(other_space, Role::kQuery, "a").has_value());
  CHECK_FALSE(cache.find(one, Role::kDocument, "a").has_value());
  for (const char* text : {"b", "c", "d"}) {
    cache.put(one, Role::kQuery, text, embedding);
    // Used all the time, so it stays.
    CHECK(cache.find(one, Role::kQuery, "a").has_value());
  }
  cache.put(one, Role::kQuery, "e", embedding);
  CHECK(cache.find(one, Role::kQuery, "a").has_value());
  CHECK_FALSE(cache.find(one, Role::kQuery, "b").has_value());
  CHECK(cache.bytes() <= 16'000);
  CHECK(cache.bytes() >= 3 * 768 * 4);
  // Too long for a quarter of the room.
  cache.put(one, Role::kQuery, std::string(5'000, 'x'), embedding);
  CHECK_FALSE(cache.find(one, Role::kQuery, std::string(5'000, 'x')).has_value());
}

TEST_CASE("memory is told apart by what it is for") {
  TempFolder folder;
  const Filled filled(folder / "db");
  const MemoryUsage before = filled.db->memory_usage().value();
  CHECK(before.index_codes == 0);
  CHECK(before.query_cache == 0);
  CHECK(before.keyword_lists == 0);
  CHECK(before.write_buffers > 0);
  REQUIRE(filled.db->search("common", {.mode = SearchMode::kHybrid}).ok());
  REQUIRE(filled.db->search("common", {.filter = Filter::parse("key != \"d1\"").value()}).ok());
  const MemoryUsage after = filled.db->memory_usage().value();
  CHECK(after.index_codes > 30 * 8);
  CHECK(after.index_rows == 0);
  CHECK(after.filter_sets > 0);
  CHECK(after.keyword_lists > 0);
  CHECK(after.query_cache > 768 * 4);
  CHECK(after.total() > before.total());
  REQUIRE(filled.db->search("common", {.coarse_width = 128}).ok());
  CHECK(filled.db->memory_usage().value().index_rows >= 30 * 128 * 4);
}
