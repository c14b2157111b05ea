// The Database as a caller meets it, with a hash in the model's place.
#include "nestor/database.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <set>

#include "query/open_database.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;

namespace {

struct Opened {
  std::shared_ptr<HashEncoder> encoder = std::make_shared<HashEncoder>();
  Database db;
};

Opened open_fresh(const std::string& path, const OpenOptions& options = {}) {
  auto encoder = std::make_shared<HashEncoder>();
  auto opened = query::open_database(path, options, factory_of(encoder));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return {encoder, std::move(opened).value()};
}

Document doc(std::string key, std::string text, std::string title = {}) {
  return {.key = std::move(key), .title = std::move(title), .text = std::move(text)};
}

SearchResult found(const Database& db, std::string_view query, const SearchOptions& options = {}) {
  auto result = db.search(query, options);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  return std::move(result).value();
}

void add(Database& db, const std::vector<Document>& documents, const AddOptions& options = {}) {
  auto report = db.add(documents, options);
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
}

}  // namespace

TEST_CASE("what was added is found with key, title, text, metadata, ranges and cosine") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  Document document = doc("a", "RocksDB keeps sorted runs", "storage");
  document.metadata = {{"year", 2024}, {"ratio", 0.5}, {"draft", false}, {"tags", {"db", "lsm"}}};
  add(db, {document, doc("b", "cats purr at night")});
  const SearchResult result = found(db, "sorted runs of RocksDB", {.k = 2});
  REQUIRE(result.hits.size() == 2);
  const Hit& hit = result.hits[0];
  CHECK(hit.key == "a");
  CHECK(hit.passage == 0);
  CHECK(hit.title == "storage");
  CHECK(hit.text == "RocksDB keeps sorted runs");
  CHECK(hit.metadata == document.metadata);
  CHECK(hit.bytes == ByteRange{0, 25});
  CHECK(hit.lines == LineRange{1, 1});
  CHECK(hit.score > result.hits[1].score);
  CHECK(hit.score <= 1.0);
  CHECK(result.explain.precision == "f32");
}

TEST_CASE("a document comes back whole and byte-equal") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  Document document = doc("../../etc/passwd", "");
  document.text = std::string("nul \0 inside, \xF0\x9F\xA6\x89 and\r\nlines", 29);
  document.title = "a | text: b\xE2\x80\xAE";
  document.metadata = {{"n", std::int64_t{-9007199254740993}}, {"list", {1, "two", 3.5, true}}};
  add(db, {document});
  const auto back = db.get(document.key);
  REQUIRE(back.ok());
  CHECK(back.value().text == document.text);
  CHECK(back.value().title == document.title);
  CHECK(back.value().metadata == document.metadata);
  CHECK(db.get("absent").status().code() == StatusCode::kNotFound);
}

TEST_CASE("upsert replaces, remove removes, and searches see it at once") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("a", "apples are red"), doc("b", "bananas are yellow")});
  CHECK(found(db, "apples", {.k = 1}).hits[0].key == "a");
  add(db, {doc("a", "zebras are striped")});
  CHECK(found(db, "zebras striped", {.k = 1}).hits[0].text == "zebras are striped");
  for (const Hit& hit : found(db, "apples red").hits) CHECK(hit.text != "apples are red");
  const auto removed = db.remove({"a", "never-there"});
  REQUIRE(removed.ok());
  CHECK(removed.value() == 1);
  const SearchResult rest = found(db, "zebras striped");
  REQUIRE(rest.hits.size() == 1);
  CHECK(rest.hits[0].key == "b");
  CHECK(db.remove({"a"}).value() == 0);
}

TEST_CASE("of equal keys in one call the last wins") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("a", "first"), doc("a", "second"), doc("a", "third")});
  CHECK(db.get("a").value().text == "third");
  CHECK(db.stats().value().collections[0].documents == 1);
}

TEST_CASE("unchanged documents are not embedded again, changed ones only where they changed") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  std::string text = "# One\n\nalpha beta gamma delta\n\n# Two\n\nepsilon zeta eta theta\n";
  add(db, {doc("a", text)});
  const std::int64_t first = encoder->encoded_count();
  CHECK(first == 2);
  const auto again = db.add({doc("a", text)});
  REQUIRE(again.ok());
  CHECK(again.value().documents_unchanged == 1);
  CHECK(encoder->encoded_count() == first);
  const auto changed =
      db.add({doc("a", "# One\n\nalpha beta gamma delta\n\n# Two\n\nepsilon CHANGED\n")});
  REQUIRE(changed.ok());
  CHECK(changed.value().documents_updated == 1);
  CHECK(changed.value().passages_reused == 1);
  CHECK(changed.value().passages_embedded == 1);
  Document with_metadata =
      doc("a", "# One\n\nalpha beta gamma delta\n\n# Two\n\nepsilon CHANGED\n");
  with_metadata.metadata = {{"year", 2026}};
  CHECK(db.add({with_metadata}).value().passages_embedded == 0);
  CHECK(db.get("a").value().metadata == with_metadata.metadata);
}

TEST_CASE("long documents are split, hits name passage and lines, get returns the whole") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  std::string text = "# Guide\n\n";
  for (int section = 0; section < 6; ++section) {
    text += "## Part " + std::to_string(section) + "\n\n";
    for (int word = 0; word < 60; ++word)
      text += "w" + std::to_string(section) + "x" + std::to_string(word) + " ";
    text += "\n\n";
  }
  add(db, {doc("guide", text, "Guide")}, {.split = {.passage_tokens = 64}});
  const SearchResult result = found(db, "w3x5 w3x6 w3x7", {.k = 1});
  REQUIRE(result.hits.size() == 1);
  CHECK(result.hits[0].heading_path.find("Part 3") != std::string::npos);
  CHECK(result.hits[0].lines.first > 1);
  const ByteRange bytes = result.hits[0].bytes;
  CHECK(text.substr(bytes.begin, bytes.end - bytes.begin) == result.hits[0].text);
  CHECK(db.get("guide").value().text == text);
  const auto whole = db.add({doc("guide", text, "Guide")}, {.split = {.enabled = false}});
  CHECK(whole.value().documents_updated == 1);
  CHECK(db.stats().value().collections[0].passages == 1);
}

TEST_CASE("a text over the context is truncated, flagged and counted") {
  TempFolder folder;
  auto encoder = std::make_shared<HashEncoder>("s", 768, 50);
  auto opened = query::open_database(folder / "db", {}, factory_of(encoder));
  Database db = std::move(opened).value();
  std::string text;
  for (int i = 0; i < 100; ++i) text += "word ";
  const auto report = db.add({doc("a", text)}, {.split = {.enabled = false}});
  REQUIRE(report.ok());
  CHECK(report.value().passages_truncated == 1);
  CHECK(db.stats().value().collections[0].truncated_passages == 1);
}

TEST_CASE("everything is there after a reopen, with or without the index cache") {
  TempFolder folder;
  const std::string path = folder / "db";
  std::vector<Document> documents;
  for (int i = 0; i < 200; ++i)
    documents.push_back(doc("k" + std::to_string(i), "number n" + std::to_string(i)));
  std::vector<std::string> before;
  {
    auto [encoder, db] = open_fresh(path);
    add(db, documents);
    for (const Hit& hit : found(db, "number n77", {.k = 5}).hits) before.push_back(hit.key);
    REQUIRE(db.close().ok());
    CHECK(db.search("x").status().code() == StatusCode::kFailedPrecondition);
  }
  for (const bool drop_cache : {false, true}) {
    if (drop_cache) std::filesystem::remove_all(path + "/cache");
    for (const bool read_only : {true, false}) {
      auto [encoder, db] = open_fresh(path, {.read_only = read_only});
      std::vector<std::string> after;
      for (const Hit& hit : found(db, "number n77", {.k = 5}).hits) after.push_back(hit.key);
      CHECK(after == before);
      CHECK(after[0] == "k77");
    }
  }
}

TEST_CASE("widths and candidate count are obeyed and explained") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  std::vector<Document> documents;
  for (int i = 0; i < 300; ++i)
    documents.push_back(doc("k" + std::to_string(i), "number n" + std::to_string(i)));
  add(db, documents);
  for (const int coarse : {128, 256, 512, 768}) {
    for (const int rerank : {128, 256, 512, 768}) {
      const SearchOptions options{
          .k = 5, .coarse_width = coarse, .rerank_width = rerank, .candidate_count = 40};
      if (coarse > rerank) {
        CHECK(db.search("number n9", options).status().code() == StatusCode::kInvalidArgument);
        continue;
      }
      const SearchResult result = found(db, "number n9", options);
      CHECK(result.hits.size() == 5);
      CHECK(result.hits[0].key == "k9");
      CHECK(result.explain.coarse_width == coarse);
      CHECK(result.explain.rerank_width == rerank);
      CHECK(result.explain.exact == (coarse == rerank));
      CHECK(result.explain.passages == 300);
      if (coarse != rerank) CHECK(result.explain.candidate_count == 40);
    }
  }
  const Explanation planned = found(db, "number n9", {.k = 3}).explain;
  CHECK(planned.coarse_width == 256);
  CHECK(planned.coarse_bits == 1);
  CHECK(planned.rerank_width == 768);
  CHECK(db.search("x", {.coarse_width = 100}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("k of 0, below 0 and over the cap is refused, over the count returns all") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("a", "one"), doc("b", "two")});
  for (const std::int64_t k : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 31}) {
    CHECK(db.search("one", {.k = k}).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(found(db, "one", {.k = 10'000}).hits.size() == 2);
  for (const char* blank : {"", " \t\n", "\xC2\xA0\xE3\x80\x80", "\xE2\x80\x8B"}) {
    for (const SearchMode mode : {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid}) {
      CHECK(db.search(blank, {.mode = mode}).status().code() == StatusCode::kInvalidArgument);
    }
    CHECK(db.search_batch({"one", blank}).status().message().find("query 1 is empty") !=
          std::string::npos);
    CHECK(db.search(Query{.like = {.texts = {{"one"}}}, .unlike = {.texts = {{blank}}}})
              .status()
              .code() == StatusCode::kInvalidArgument);
    CHECK(db.measure_recall({.questions = {"one", blank}}).status().code() ==
          StatusCode::kInvalidArgument);
  }
}

TEST_CASE("bring-your-own vectors of any width need no model") {
  TempFolder folder;
  OpenOptions options;
  options.embedder.model_folder = folder / "no-model-here";
  auto opened = Database::open(folder / "db", options);
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  for (const int width : {1, 6, 130, 1536}) {
    const std::string name = "w" + std::to_string(width);
    std::vector<Document> documents;
    for (int i = 0; i < 10; ++i) {
      std::vector<float> vector(static_cast<std::size_t>(width), 0.01f);
      vector[static_cast<std::size_t>(i % width)] = width == 1 ? float(i + 1) : 3.0f;
      documents.push_back(
          {.key = "v" + std::to_string(i), .text = "text " + std::to_string(i), .vector = vector});
    }
    add(db, documents, {.collection = name});
    const auto result = db.search_vector(documents[4].vector, {.k = 3, .collection = name});
    REQUIRE_MESSAGE(result.ok(), result.status().to_string());
    CHECK(result.value().hits.size() == 3);
    CHECK(result.value().hits[0].score == doctest::Approx(1.0).epsilon(1e-6));
    if (width >= 6) CHECK((result.value().hits[0].key == "v4" || width == 6));
  }
  CHECK(db.search("words", {.collection = "w6"}).status().code() == StatusCode::kInvalidArgument);
  CHECK(db.add({doc("a", "text")}, {.collection = "w6"}).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(db.add({doc("a", "text")}).status().code() == StatusCode::kModelMissing);
  CHECK(db.stats().value().collections.size() == 4);
}

TEST_CASE(
    "vectors that are not finite, zero or of another width are refused with the key, nothing is "
    "written") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  REQUIRE(db.create_collection("own", {.vector_width = 4}).ok());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const float denormal = std::numeric_limits<float>::denorm_min();
  for (const std::vector<float>& bad : {std::vector<float>{1, nan, 0, 0},
                                        {1, inf, 0, 0},
                                        {0, 0, 0, 0},
                                        {1, 2, 3},
                                        {1, 2, 3, 4, 5}}) {
    const auto report = db.add({{.key = "good", .text = "t", .vector = {1, 0, 0, 0}},
                                {.key = "culprit", .text = "t", .vector = bad}},
                               {.collection = "own"});
    CHECK(report.status().code() == StatusCode::kInvalidArgument);
    CHECK(report.status().message().find("culprit") != std::string::npos);
    CHECK(db.search_vector(bad, {.collection = "own"}).status().code() ==
          StatusCode::kInvalidArgument);
  }
  CHECK(db.get("good", "own").status().code() == StatusCode::kNotFound);
  add(db, {{.key = "tiny", .text = "t", .vector = {denormal, denormal, denormal, denormal}}},
      {.collection = "own"});
  CHECK(
      db.search_vector(std::vector<float>{1, 1, 1, 1}, {.collection = "own"}).value().hits.size() ==
      1);
}

TEST_CASE(
    "keys, names, texts and metadata outside their limits are refused and nothing is written") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  std::vector<Document> bad = {doc("", "x"),
                               doc(std::string(513, 'k'), "x"),
                               doc(std::string(65536, 'k'), "x"),
                               doc(std::string("a\0b", 3), "x"),
                               doc("a", "\xFF\xFE"),
                               doc("a", "\xC0\xAF"),
                               doc("a", "\xED\xA0\x80"),
                               doc("a", "cut \xE2\x82"),
                               doc("a", "x", "\xFF"),
                               doc("a", std::string((16 << 20) + 1, 'x'))};
  bad.push_back(doc("a", "x"));
  bad.back().metadata = {{"n", std::numeric_limits<double>::quiet_NaN()}};
  bad.push_back(doc("a", "x"));
  bad.back().metadata = {{"n", std::string(11 << 20, 'x')}};
  bad.push_back(doc("a", "x"));
  for (int i = 0; i < 100'000; ++i) bad.back().metadata.emplace("f" + std::to_string(i), 1);
  for (const Document& document : bad) {
    const auto report = db.add({doc("fine", "x"), document});
    CHECK(report.status().code() == StatusCode::kInvalidArgument);
    CHECK(!report.status().message().empty());
  }
  for (const std::string name : {"", "a/b", "..", "../x", "a b", ".hidden"}) {
    CHECK(db.add({doc("a", "x")}, {.collection = name}).status().code() ==
          StatusCode::kInvalidArgument);
  }
  CHECK(db.stats().value().collections.empty());
  CHECK(db.add({doc("a", std::string(2 << 20, 'x'))}, {.split = {.enabled = false}})
            .status()
            .code() == StatusCode::kInvalidArgument);
  CHECK(db.add({doc("a", "x")}, {.split = {.passage_tokens = 15}}).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("an empty text and one of white space embed the prompt and are found") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("empty", ""), doc("white", " \n\t ")});
  CHECK(found(db, "anything").hits.size() == 2);
}

TEST_CASE("keys that look like the store's own layout do not collide, in two collections") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  const std::vector<std::string> keys = {"a", "a/b", "d", "r\x01", "\x01\x01\x01\x01",
                                         "c", "m",   "j", "aa",    "\xC3\xBF"};
  for (const std::string name : {"one", "two"}) {
    for (const std::string& key : keys) add(db, {doc(key, name + " " + key)}, {.collection = name});
  }
  for (const std::string name : {"one", "two"}) {
    for (const std::string& key : keys) CHECK(db.get(key, name).value().text == name + " " + key);
    const auto listed = db.list_keys(name);
    CHECK(std::set<std::string>(listed.value().begin(), listed.value().end()) ==
          std::set<std::string>(keys.begin(), keys.end()));
  }
  CHECK(db.search("x", {.collection = "three"}).status().code() == StatusCode::kNotFound);
  CHECK(found(db, "one", {.k = 100, .collection = "one"}).hits.size() == keys.size());
}

TEST_CASE("another model's space is refused with both names") {
  TempFolder folder;
  {
    auto [encoder, db] = open_fresh(folder / "db");
    add(db, {doc("a", "x")});
  }
  auto other = std::make_shared<HashEncoder>("other-space");
  auto opened = query::open_database(folder / "db", {}, factory_of(other));
  REQUIRE(opened.ok());
  Database db = std::move(opened).value();
  for (const Status& status : {db.search("x").status(), db.add({doc("b", "y")}).status()}) {
    CHECK(status.code() == StatusCode::kModelMismatch);
    CHECK(status.message().find("hash-model-of-hash-space") != std::string::npos);
    CHECK(status.message().find("hash-model-of-other-space") != std::string::npos);
  }
  CHECK(db.get("a").ok());
}

TEST_CASE("a stopped add writes nothing") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  std::stop_source source;
  encoder->before_encode = [&] { source.request_stop(); };
  const auto report = db.add({doc("a", "x")}, {.stop = source.get_token()});
  CHECK(report.status().code() == StatusCode::kCancelled);
  CHECK(db.get("a").status().code() == StatusCode::kNotFound);
  CHECK(db.search("x", {.stop = source.get_token()}).ok());  // nothing is stored: nothing to stop
}

TEST_CASE("a forked child is told so and does not hang") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("a", "x")});
  found(db, "x");
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused =
        db.search("x").status().code() == StatusCode::kFailedPrecondition &&
        db.add({doc("b", "y")}).status().code() == StatusCode::kFailedPrecondition &&
        db.close().code() == StatusCode::kFailedPrecondition;
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(found(db, "x").hits.size() == 1);
}

TEST_CASE("verify is content with a healthy database and says what a cache lacks") {
  TempFolder folder;
  {
    auto [encoder, db] = open_fresh(folder / "db");
    std::vector<Document> documents;
    for (int i = 0; i < 100; ++i)
      documents.push_back(doc("k" + std::to_string(i), "n" + std::to_string(i)));
    add(db, documents);
  }
  auto [encoder, db] = open_fresh(folder / "db", {.read_only = true});
  const auto report = db.verify();
  REQUIRE(report.ok());
  CHECK(report.value().documents == 100);
  CHECK(report.value().problems.empty());
  CHECK(report.value().notes.empty());
  CHECK(db.add({doc("a", "x")}).status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("attributes are kept with the collection and survive a reopen") {
  TempFolder folder;
  {
    auto [encoder, db] = open_fresh(folder / "db");
    REQUIRE(db.set_attribute("default", "folder", "/somewhere").ok());
    add(db, {doc("a", "x")});
    CHECK(db.attribute("default", "folder").value() == "/somewhere");
  }
  auto [encoder, db] = open_fresh(folder / "db");
  CHECK(db.attribute("default", "folder").value() == "/somewhere");
  REQUIRE(db.set_attribute("default", "folder", "").ok());
  CHECK(db.attribute("default", "folder").value().empty());
  CHECK(found(db, "x").hits.size() == 1);
}

TEST_CASE("a second writer is told who holds the database, a reader is let in") {
  TempFolder folder;
  auto [encoder, db] = open_fresh(folder / "db");
  add(db, {doc("a", "x")});
  const auto second = query::open_database(folder / "db", {}, factory_of(encoder));
  CHECK(second.status().code() == StatusCode::kLocked);
  CHECK(second.status().message().find(std::to_string(::getpid())) != std::string::npos);
  auto reader = query::open_database(folder / "db", {.read_only = true}, factory_of(encoder));
  REQUIRE_MESSAGE(reader.ok(), reader.status().to_string());
  CHECK(reader.value().search("x").value().hits.size() == 1);
}
