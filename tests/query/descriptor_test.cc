// A collection stays what it is on every way out of a database and back.
#include <doctest/doctest.h>

#include <random>

#include "query/collection_attributes.h"
#include "query/open_database.h"
#include "query/text_analysis.h"
#include "storage/document_store.h"
#include "tests/support/hash_encoder.h"
#include "tests/support/test_paths.h"

using namespace nestor;
using nestor::testing::factory_of;
using nestor::testing::HashEncoder;
using nestor::testing::TempFolder;
using storage::CollectionDescriptor;

namespace {

Database open_at(const std::string& path, const std::string& space = "hash-space") {
  auto opened =
      query::open_database(path, {}, factory_of(std::make_shared<HashEncoder>(space, 64)));
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

CollectionDescriptor descriptor_in(const std::string& path, const std::string& collection) {
  const auto store = storage::DocumentStore::open(path, {.read_only = true});
  REQUIRE_MESSAGE(store.ok(), store.status().to_string());
  const auto found = store.value()->find_collection(*store.value()->view(), collection);
  REQUIRE(found.ok());
  REQUIRE(found.value().has_value());
  return describe(*found.value());
}

// One of everything that a caller can set, and some documents or none.
void make_random_collection(Database& db, std::mt19937& random, const std::string& name) {
  const auto pick = [&](int count) { return static_cast<int>(random() % std::uint32_t(count)); };
  CollectionOptions options;
  if (pick(3) > 0) {
    options.vector_width = 1 + pick(5);
    options.metric = static_cast<Metric>(pick(3));
  }
  REQUIRE(db.create_collection(name, options).ok());
  const std::vector<std::string> languages = {"", "german", "english", "none"};
  REQUIRE(db.set_attribute(name, query::kLanguageAttribute, languages[std::size_t(pick(4))]).ok());
  for (int i = pick(4); i > 0; --i) {
    REQUIRE(db.set_attribute(name, "note" + std::to_string(i), "\"\xC3\xA9\" \n" + name).ok());
  }
  for (int i = pick(3); i > 0; --i) {
    Document document{.key = "k" + std::to_string(i), .text = "some words " + std::to_string(i)};
    for (int d = 0; d < options.vector_width; ++d) document.vector.push_back(float(1 + d + i));
    REQUIRE(db.add({document}, {.collection = name}).ok());
  }
}

void copy_by_export(const Database& from, Database& to, const std::string& collection) {
  std::vector<std::string> lines;
  REQUIRE(from.export_documents(
                  [&](std::string_view line) {
                    lines.emplace_back(line);
                    return Status();
                  },
                  {.collection = collection})
              .ok());
  std::size_t at = 0;
  const auto imported = to.import_documents([&]() -> Result<std::optional<std::string_view>> {
    if (at == lines.size()) return std::optional<std::string_view>();
    return std::optional<std::string_view>(lines[at++]);
  });
  REQUIRE_MESSAGE(imported.ok(), imported.status().to_string());
}

bool says_the_same(const CollectionStats& stats, const CollectionDescriptor& is) {
  return stats.name == is.name && stats.width == is.dim && stats.metric == is.metric &&
         stats.space == (is.user_vectors ? "external" : is.fingerprint) &&
         stats.model == is.model && stats.attributes == is.attributes;
}

}  // namespace

TEST_CASE("every option of a collection survives export, bundle, backup and reembed") {
  for (std::uint32_t seed = 1; seed <= 25; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    TempFolder folder;
    const std::string name = seed % 2 == 0 ? "default" : "c" + std::to_string(seed);
    CollectionDescriptor is;
    {
      Database db = open_at(folder / "db");
      make_random_collection(db, random, name);
      REQUIRE(db.set_attribute(name, query::kFolderAttribute, "where somebody lives").ok());
      is = descriptor_in(folder / "db", name);
      CHECK(says_the_same(db.stats().value().collections.front(), is));
      REQUIRE(db.backup(folder / "backup").ok());
      const auto bundled = db.bundle(folder / "bundle");
      REQUIRE(bundled.ok());
      CHECK(bundled.value().collections.front().metric == is.metric);
      CHECK(bundled.value().collections.front().attributes == is.attributes);
      REQUIRE(Database::unbundle(folder / "bundle", folder / "unbundled").ok());
      Database imported = open_at(folder / "imported");
      copy_by_export(db, imported, name);
    }
    CHECK(descriptor_in(folder / "backup", name) == is);
    CHECK(descriptor_in(folder / "unbundled", name) == is);
    CollectionDescriptor without_places = is;
    without_places.attributes.erase(query::kFolderAttribute);
    CHECK(descriptor_in(folder / "imported", name) == without_places);
    if (is.user_vectors) continue;
    Database renewed = open_at(folder / "db", "another-space");
    REQUIRE(renewed.reembed({.collection = name}).ok());
    CollectionDescriptor expected = is;
    if (is.dim > 0) {
      expected.fingerprint = "another-space";
      expected.model = "hash-model-of-another-space";
    }
    CHECK(descriptor_in(folder / "db", name) == expected);
  }
}

TEST_CASE("an import answers by the metric that the exported collection had") {
  TempFolder folder;
  for (const Metric metric : {Metric::kCosine, Metric::kDot, Metric::kL2}) {
    Database db = open_at(folder / std::string("from-") + metric_name(metric));
    REQUIRE(db.create_collection("default", {.vector_width = 2, .metric = metric}).ok());
    REQUIRE(db.add({{.key = "far", .text = "t", .vector = {9, 0}},
                    {.key = "near", .text = "t", .vector = {1, 0.5F}}})
                .ok());
    Database copy = open_at(folder / std::string("to-") + metric_name(metric));
    copy_by_export(db, copy, "default");
    const std::vector<float> query = {1, 0};
    const auto was = db.search_vector(query).value().hits;
    const auto is = copy.search_vector(query).value().hits;
    REQUIRE(was.size() == is.size());
    for (std::size_t i = 0; i < was.size(); ++i) {
      CHECK(was[i].key == is[i].key);
      CHECK(was[i].score == is[i].score);
    }
  }
}

TEST_CASE("an import into a collection of another metric is refused with both") {
  TempFolder folder;
  Database db = open_at(folder / "from");
  REQUIRE(db.create_collection("default", {.vector_width = 2, .metric = Metric::kL2}).ok());
  std::vector<std::string> lines;
  const auto keep = [&](std::string_view line) {
    lines.emplace_back(line);
    return Status();
  };
  REQUIRE(db.export_documents(keep).ok());
  Database other = open_at(folder / "to");
  REQUIRE(other.create_collection("default", {.vector_width = 2}).ok());
  std::size_t at = 0;
  const Status status = other
                            .import_documents([&]() -> Result<std::optional<std::string_view>> {
                              return std::optional<std::string_view>(lines[at++]);
                            })
                            .status();
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK(status.message().find("compared by cosine, the file holds") != std::string::npos);
}

TEST_CASE("an export of version 1 is read: no metric means cosine, the language is taken") {
  TempFolder folder;
  const std::vector<std::string> lines = {
      R"({"nestor":"export","version":1,"writer":"0.1.0","sequence":2,"collection":"own",)"
      R"("external":true,"vectors":true,"width":2,"space":"","model":"","language":"german"})",
      R"({"key":"a","title":"","text":"t","metadata":{},"split_tokens":0,"passages":[{"bytes":[0,1],)"
      R"("lines":[1,1],"heading":"","tokens":0,"truncated":false,"mode":"external",)"
      R"("vector":"AACAPwAAAEA="}]})",
      R"({"nestor":"end","documents":1,"passages":1})"};
  Database db = open_at(folder / "db");
  std::size_t at = 0;
  const auto imported = db.import_documents([&]() -> Result<std::optional<std::string_view>> {
    if (at == lines.size()) return std::optional<std::string_view>();
    return std::optional<std::string_view>(lines[at++]);
  });
  REQUIRE_MESSAGE(imported.ok(), imported.status().to_string());
  CHECK(imported.value().vectors_taken == 1);
  CHECK(imported.value().note.find("version 1") != std::string::npos);
  CHECK(descriptor_in(folder / "db", "own") ==
        CollectionDescriptor{.name = "own",
                             .dim = 2,
                             .user_vectors = true,
                             .metric = Metric::kCosine,
                             .fingerprint = "",
                             .model = "",
                             .attributes = {{query::kLanguageAttribute, "german"}}});
}
