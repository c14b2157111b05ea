// Databases of every released format, kept in tests/compat/, open and say what they said then.
// NESTOR_WRITE_COMPAT=<folder> makes a new one of the present format there instead of a temporary
// one.
#include <doctest/doctest.h>

#include <limits>

#include "storage/manifest.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;

namespace {

// Each row has its document's text as its one word, at its own number.
Batch with_words(Batch batch) {
  batch.analysis = "test";
  for (DocumentWrite& write : batch.writes) {
    for (std::uint32_t i = 0; i < write.rows.size(); ++i) {
      write.terms.push_back({.length = 1, .terms = {{write.document.text, {i}}}});
    }
  }
  return batch;
}

void check_words(const DocumentStore& store) {
  const auto view = store.view();
  const Collection collection = testing::collection_of(store);
  const auto totals = store.term_totals(*view, collection);
  REQUIRE(totals.ok());
  CHECK(totals.value() == TermTotals{.complete = true, .analysis = "test", .rows = 5, .length = 5});
  std::vector<std::uint64_t> rows;
  REQUIRE(store
              .scan_postings(*view, collection, "third", TermForms::kOne, 0,
                             [&](const Posting& posting) {
                               CHECK(posting.positions ==
                                     std::vector<std::uint32_t>{
                                         static_cast<std::uint32_t>(posting.row_id - 4)});
                               rows.push_back(posting.row_id);
                             })
              .ok());
  CHECK(rows == std::vector<std::uint64_t>{4, 5, 6});
}

// Rows of one content are found by it, those of a caller's own vectors are not.
void check_contents(const DocumentStore& store) {
  const auto view = store.view();
  const auto rows = [&](const char* collection, const std::string& content, NumericMode mode) {
    const auto ids = store.rows_of_content(*view, testing::collection_of(store, collection),
                                           hash128(content), mode, 9);
    REQUIRE_MESSAGE(ids.ok(), ids.status().to_string());
    return ids.value();
  };
  CHECK(rows("default", "third", NumericMode::kF32) == std::vector<std::uint64_t>{4, 5, 6});
  CHECK(rows("default", "third", NumericMode::kInt8).empty());
  CHECK(rows("default", "second", NumericMode::kF32).empty());
  CHECK(rows("given", "given", NumericMode::kExternal).empty());
}

void make_compat_database(const std::string& path) {
  {
    auto store = must_open(path);
    REQUIRE(store->create_collection("default", 0, false).ok());
    REQUIRE(store->create_collection("given", 4, true).ok());
    must_commit(
        *store,
        with_words(make_batch({make_write("a", "first", 2, 0.5F), make_write("b", "second")})));
  }
  // The next opener makes a table of the first log; what follows is in the second log.
  auto store = must_open(path);
  must_commit(*store, with_words(make_batch({make_write("c/\xc3\xa4", "third", 3, 2)}, {"b"})));
  must_commit(*store, make_batch({make_write("x", "given")}, {}, "given"));
  REQUIRE(store->set_attribute("default", "source", "/somewhere").ok());
}

// What only format 3 can keep.
DocumentWrite write_of_format_3() {
  DocumentWrite write = make_write("file", "caf\xEF\xBF\xBD");
  write.document.metadata = {{"most", std::numeric_limits<std::uint64_t>::max()}};
  write.document.source.changes = {{0, 0, 3}, {3, 3, 1}};
  return write;
}

void add_what_format_3_has(const std::string& path) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("three", 0, false).ok());
  must_commit(*store, make_batch({write_of_format_3()}, {}, "three"));
}

void check_what_format_3_has(const DocumentStore& store) {
  const auto view = store.view();
  const Collection three = testing::collection_of(store, "three");
  const auto document = store.find_document(*view, three.id, "file");
  REQUIRE(document.ok());
  CHECK(document.value()->document.metadata == write_of_format_3().document.metadata);
  CHECK(document.value()->document.source == write_of_format_3().document.source);
  const Row row = write_of_format_3().rows.front();
  CHECK(store.rows_of_content(*view, three, row.passage.content, row.passage.mode, 9).value() ==
        std::vector<std::uint64_t>{1});
}

void check_compat_database(const DocumentStore& store, std::uint64_t sequence = 6) {
  const auto view = store.view();
  CHECK(store.sequence(*view) == sequence);
  using Texts = std::map<std::string, std::string>;
  CHECK(testing::texts_of(store) == Texts{{"a", "first"}, {"c/\xc3\xa4", "third"}});
  CHECK(testing::texts_of(store, "given") == Texts{{"x", "given"}});
  const Collection collection = testing::collection_of(store);
  CHECK(collection.id == 1);
  CHECK(collection.passages == 5);
  CHECK(collection.text_bytes == 10);
  CHECK(collection.truncated_passages == 2);
  CHECK(collection.next_row_id == 7);
  CHECK(collection.attributes.at("source") == "/somewhere");
  CHECK(collection.space == std::string(64, 'a'));
  CHECK(testing::collection_of(store, "given").external);
  CHECK(testing::collection_of(store, "given").metric == Metric::kCosine);
  const auto document = store.find_document(*view, 1, "a");
  REQUIRE(document.ok());
  CHECK(document.value()->document.title == "title of a");
  CHECK(document.value()->document.metadata == make_write("a", "").document.metadata);
  CHECK(document.value()->split_tokens == 256);
  const auto rows = store.rows(*view, collection, std::vector<std::uint64_t>{6, 1});
  REQUIRE(rows.ok());
  CHECK(rows.value()[0].vector == std::vector<float>{2, 2, 4, -1});
  CHECK(rows.value()[0].passage.index == 2);
  CHECK(rows.value()[1].document_key == "a");
  CHECK(rows.value()[1].passage.content == hash128("first"));
  testing::check_verifies(store);
}

}  // namespace

TEST_CASE("a database of the present format says what the golden ones say") {
  const TempFolder folder;
  const char* wanted = std::getenv("NESTOR_WRITE_COMPAT");
  const std::string path = wanted ? std::string(wanted) : folder / "db";
  make_compat_database(path);
  add_what_format_3_has(path);
  StoreOptions options;
  options.read_only = true;
  check_compat_database(*must_open(path, options), 8);
  check_words(*must_open(path, options));
  check_what_format_3_has(*must_open(path, options));
}

TEST_CASE("a database written by format 1 opens, reads, verifies and takes writes") {
  const TempFolder folder;
  const std::string golden = nestor::testing::tests_path("compat/v1");
  StoreOptions options;
  options.read_only = true;
  const auto before = testing::folder_bytes(golden);
  check_compat_database(*must_open(golden, options));
  CHECK(testing::folder_bytes(golden) == before);
  CHECK(read_manifest(golden).value()->format_version == 1);
  // For writing only a copy: the golden one stays as it was made.
  std::filesystem::copy(golden, folder / "db", std::filesystem::copy_options::recursive);
  auto store = must_open(folder / "db");
  check_compat_database(*store);
  check_contents(*store);
  must_commit(*store, make_batch({make_write("d", "fourth")}, {"a"}));
  CHECK(testing::texts_of(*store).size() == 2);
  testing::check_verifies(*store);
  CHECK(read_manifest(folder / "db").value()->format_version == kFormatVersion);
}

TEST_CASE("a database written by format 2 opens, reads, verifies and takes writes") {
  const TempFolder folder;
  const std::string golden = nestor::testing::tests_path("compat/v2");
  StoreOptions options;
  options.read_only = true;
  const auto before = testing::folder_bytes(golden);
  const auto reader = must_open(golden, options);
  check_compat_database(*reader);
  CHECK(reader->has_field_index(*reader->view(), 1).value());
  check_words(*reader);
  CHECK(testing::folder_bytes(golden) == before);
  CHECK(read_manifest(golden).value()->format_version == 2);
  std::filesystem::copy(golden, folder / "db", std::filesystem::copy_options::recursive);
  auto store = must_open(folder / "db");
  check_compat_database(*store);
  check_contents(*store);
  must_commit(*store, with_words(make_batch({make_write("d", "fourth")}, {"a"})));
  testing::check_verifies(*store);
}

TEST_CASE("a database written by format 3 opens, reads, verifies and takes writes") {
  const TempFolder folder;
  const std::string golden = nestor::testing::tests_path("compat/v3");
  StoreOptions options;
  options.read_only = true;
  const auto before = testing::folder_bytes(golden);
  const auto reader = must_open(golden, options);
  check_compat_database(*reader, 8);
  check_words(*reader);
  check_contents(*reader);
  check_what_format_3_has(*reader);
  CHECK(testing::folder_bytes(golden) == before);
  CHECK(read_manifest(golden).value()->format_version == 3);
  std::filesystem::copy(golden, folder / "db", std::filesystem::copy_options::recursive);
  auto store = must_open(folder / "db");
  check_compat_database(*store, 8);
  must_commit(*store, with_words(make_batch({make_write("d", "fourth")}, {"a"})));
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
