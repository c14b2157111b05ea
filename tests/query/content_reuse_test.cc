// A text that is in a collection is not embedded again, under whatever key it comes.
#include "query/content_reuse.h"

#include <doctest/doctest.h>

#include "query/ingest.h"
#include "query/open_database.h"
#include "query/passage_terms.h"
#include "storage/content_index.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
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

  explicit Opened(const std::string& path) : db(open(path, encoder)) {}
  static Database open(const std::string& path, const std::shared_ptr<HashEncoder>& encoder) {
    auto opened = query::open_database(path, {}, factory_of(encoder));
    REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
    return std::move(opened).value();
  }
  AddReport add(const std::vector<Document>& documents, const AddOptions& options = {}) {
    auto report = db.add(documents, options);
    REQUIRE_MESSAGE(report.ok(), report.status().to_string());
    return report.value();
  }
};

std::string long_text() {
  std::string text = "# Storage\n\nRocksDB keeps sorted runs.\n\n## Trees\n\n";
  for (int i = 0; i < 600; ++i) text += "Sentence number " + std::to_string(i) + " about runs. ";
  return text;
}

std::vector<float> vector_of(const std::string& path, const std::string& key) {
  const auto store = storage::DocumentStore::open(path, {.read_only = true});
  REQUIRE(store.ok());
  const auto view = store.value()->view();
  const auto found = store.value()->find_collection(*view, "default");
  std::vector<float> vectors;
  REQUIRE(store.value()
              ->scan_rows(*view, *found.value(), 0,
                          [&](const storage::Row& row) {
                            if (row.document_key == key) {
                              vectors.insert(vectors.end(), row.vector.begin(), row.vector.end());
                            }
                            return true;
                          })
              .ok());
  return vectors;
}

}  // namespace

TEST_CASE("a renamed and a copied document take the vectors that are there") {
  TempFolder folder;
  Opened opened(folder / "db");
  const AddReport first = opened.add({{.key = "a", .title = "T", .text = long_text()}});
  REQUIRE(first.passages_embedded > 3);
  const auto embedded = opened.encoder->encoded_count();
  const AddReport copy = opened.add({{.key = "b", .title = "T", .text = long_text()}});
  CHECK(copy.passages_embedded == 0);
  CHECK(copy.passages_reused == first.passages_embedded);
  // In the batch that removes the old key, too.
  const AddReport renamed =
      opened.add({{.key = "c", .title = "T", .text = long_text()}}, {.removals = {"a", "b"}});
  CHECK(renamed.passages_embedded == 0);
  CHECK(opened.encoder->encoded_count() == embedded);
  CHECK(opened.db.verify().value().problems == std::vector<std::string>{});
  // Once it is gone everywhere it is embedded again.
  REQUIRE(opened.db.remove({"c"}).ok());
  CHECK(opened.add({{.key = "d", .title = "T", .text = long_text()}}).passages_embedded ==
        first.passages_embedded);
}

TEST_CASE("equal vectors are the same bits as embedded ones") {
  TempFolder folder;
  {
    Opened opened(folder / "db");
    opened.add({{.key = "a", .title = "T", .text = long_text()},
                {.key = "twin", .title = "T", .text = long_text()}});
    opened.add({{.key = "later", .title = "T", .text = long_text()}});
  }
  {
    Opened alone(folder / "alone");
    alone.add({{.key = "a", .title = "T", .text = long_text()}});
  }
  const auto expected = vector_of(folder / "alone", "a");
  for (const char* key : {"a", "twin", "later"}) {
    CHECK(vector_of(folder / "db", key) == expected);
  }
}

TEST_CASE("of equal passages in one call one is embedded") {
  TempFolder folder;
  Opened opened(folder / "db");
  std::vector<Document> documents;
  for (int i = 0; i < 20; ++i) {
    documents.push_back(
        {.key = std::to_string(i), .title = i % 2 == 0 ? "even" : "odd", .text = "the same text"});
  }
  const AddReport report = opened.add(documents);
  CHECK(report.passages_embedded == 2);  // the title belongs to what is embedded
  CHECK(report.passages_reused == 18);
  CHECK(opened.encoder->encoded_count() == 2);
  CHECK(opened.db.search("the same text", {.k = 100}).value().hits.size() == 20);
}

TEST_CASE("another title, heading, collection or mode is another content") {
  TempFolder folder;
  Opened opened(folder / "db");
  opened.add({{.key = "a", .title = "T", .text = "the text"}});
  CHECK(opened.add({{.key = "b", .title = "U", .text = "the text"}}).passages_embedded == 1);
  CHECK(opened.add({{.key = "c", .title = "T", .text = "# H\n\nthe text"}}).passages_embedded == 1);
  CHECK(opened.add({{.key = "d", .title = "T", .text = "the text"}}, {.collection = "other"})
            .passages_embedded == 1);
  // A vector of the caller's own says nothing of the text.
  std::vector<float> own(768, 0.0F);
  own[0] = 1;
  opened.add({{.key = "e", .title = "T", .text = "with a vector", .vector = own}});
  CHECK(opened.add({{.key = "f", .title = "T", .text = "with a vector"}}).passages_embedded == 1);
}

TEST_CASE("two texts of one hash are told apart by the texts themselves") {
  TempFolder folder;
  const std::string path = folder / "db";
  {
    Opened opened(path);
    opened.add({{.key = "a", .text = "the first text"}});
  }
  {
    // As if the second text had the hash of the first: its record names the first's row, and so
    // does the row's own hash.
    const auto db = storage::open_rocksdb(path + "/rocksdb", storage::OpenMode::kWrite);
    REQUIRE(db.ok());
    const std::string row = storage::row_key(1, 1);
    std::string value;
    REQUIRE(db.value()->Get({}, row, &value).ok());
    auto decoded = storage::decode_row(row, value, 768);
    REQUIRE(decoded.ok());
    rocksdb::WriteBatch batch;
    storage::remove_content(1, decoded.value(), batch);
    decoded.value().passage.content = query::content_hash("", "the second text");
    storage::put_content(1, decoded.value(), batch);
    batch.Put(row, storage::encode_row(row, decoded.value()));
    REQUIRE(db.value()->Write({}, &batch).ok());
  }
  Opened opened(path);
  CHECK(opened.add({{.key = "b", .text = "the second text"}}).passages_embedded == 1);
  CHECK(opened.encoder->encoded_count() == 1);
}
