#include "storage/document_store.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::check_verifies;
using testing::collection_of;
using testing::contains;
using testing::kWidth;
using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;
using testing::texts_of;

namespace {

std::unique_ptr<DocumentStore> store_with_collection(const std::string& path) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  return store;
}

// What "what was committed comes back" committed.
void check_first_commit(const DocumentStore& store, const Commit& commit) {
  const auto view = store.view();
  CHECK(store.sequence(*view) == 2);
  const Collection collection = collection_of(store);
  CHECK(collection.documents == 2);
  CHECK(collection.passages == 4);
  CHECK(collection.text_bytes == 16);
  CHECK(collection.truncated_passages == 1);
  CHECK(collection.rows_by_mode == std::map<std::uint8_t, std::int64_t>{{0, 4}});
  CHECK(collection.width == kWidth);
  CHECK(collection.space == std::string(64, 'a'));
  CHECK(collection.model == "test-model");
  CHECK(collection.digest == commit.collection.digest);
  const auto document = store.find_document(*view, collection.id, "a");
  REQUIRE(document.ok());
  REQUIRE(document.value().has_value());
  CHECK(document.value()->document.text == "first text");
  CHECK(document.value()->document.metadata == make_write("a", "").document.metadata);
  CHECK(document.value()->first_row_id == 1);
  CHECK(document.value()->passage_count == 3);
  const std::vector<std::uint64_t> ids = {4, 2, 2, 1};
  const auto rows = store.rows(*view, collection, ids);
  REQUIRE(rows.ok());
  REQUIRE(rows.value().size() == 4);
  CHECK(rows.value()[0].document_key == "b");
  CHECK(rows.value()[1].passage.index == 1);
  CHECK(rows.value()[2].id == 2);
  CHECK(rows.value()[3].vector == std::vector<float>{0.5F, 0, 0, -1});
  std::vector<float> vectors(4 * 2);
  REQUIRE(store.read_vectors(*view, collection, ids, 2, vectors.data()).ok());
  CHECK(vectors == std::vector<float>{2, 0, 0.5F, 1, 0.5F, 1, 0.5F, 0});
  check_verifies(store);
}

}  // namespace

TEST_CASE("what was committed comes back, before and after reopening") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  const Commit commit = must_commit(*store, make_batch({make_write("a", "first text", 3, 0.5F),
                                                        make_write("b", "second", 1, 2)}));
  CHECK(commit.sequence == 2);
  CHECK(commit.row_ids == std::vector<std::uint64_t>{1, 2, 3, 4});
  CHECK(commit.removed_row_ids.empty());
  for (int round = 0; round < 2; ++round) {
    check_first_commit(*store, commit);
    store.reset();
    store = must_open(folder / "db");
  }
}

TEST_CASE("an upsert replaces the document and all its rows, under new row ids") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "old", 3), make_write("b", "stays", 1)}));
  const Commit commit = must_commit(*store, make_batch({make_write("a", "new one", 2)}));
  CHECK(commit.row_ids == std::vector<std::uint64_t>{5, 6});
  CHECK(commit.removed_row_ids == std::vector<std::uint64_t>{1, 2, 3});
  CHECK(commit.removed_documents == 0);
  const Collection collection = collection_of(*store);
  CHECK(collection.documents == 2);
  CHECK(collection.passages == 3);
  CHECK(collection.text_bytes == 12);
  CHECK(testing::row_ids_of(*store, collection) == std::vector<std::uint64_t>{4, 5, 6});
  const std::vector<std::uint64_t> gone = {2};
  CHECK(store->rows(*store->view(), collection, gone).status().code() == StatusCode::kDataLoss);
  check_verifies(*store);
}

TEST_CASE("a removal takes documents and rows, and the digest is back where it was") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "stays", 2)}));
  const Hash128 before = collection_of(*store).digest;
  must_commit(*store, make_batch({make_write("b", "goes", 2), make_write("c", "goes too", 1)}));
  CHECK_FALSE(collection_of(*store).digest == before);
  const Commit commit = must_commit(*store, make_batch({}, {"b", "unknown", "c"}));
  CHECK(commit.removed_documents == 2);
  CHECK(commit.removed_row_ids == std::vector<std::uint64_t>{3, 4, 5});
  CHECK(collection_of(*store).digest == before);
  CHECK(collection_of(*store).documents == 1);
  must_commit(*store, make_batch({}, {"a"}));
  CHECK(collection_of(*store).digest == Hash128{});
  CHECK(collection_of(*store).rows_by_mode.empty());
  CHECK(collection_of(*store).next_row_id == 6);
  check_verifies(*store);
}

TEST_CASE("a batch that changes nothing writes nothing") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  const std::uint64_t before = store->sequence(*store->view());
  const Commit commit = must_commit(*store, make_batch({}, {"unknown"}));
  CHECK(commit.sequence == before);
  CHECK(commit.removed_documents == 0);
  CHECK(store->sequence(*store->view()) == before);
}

TEST_CASE("a refused batch leaves nothing behind") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "text")}));
  const Collection before = collection_of(*store);
  std::vector<std::pair<DocumentWrite, StatusCode>> bad;
  const auto add_bad = [&](const std::function<void(DocumentWrite&)>& spoil) {
    DocumentWrite write = make_write("bad", "some text", 2);
    spoil(write);
    bad.emplace_back(write, StatusCode::kInvalidArgument);
  };
  add_bad([](auto& write) { write.rows[1].vector[2] = std::numeric_limits<float>::quiet_NaN(); });
  add_bad([](auto& write) { write.rows[0].vector[0] = std::numeric_limits<float>::infinity(); });
  add_bad([](auto& write) { write.rows[1].vector.pop_back(); });
  add_bad([](auto& write) { write.rows[1].passage.bytes = {0, 10}; });
  add_bad([](auto& write) { write.rows[1].passage.bytes = {5, 4}; });
  add_bad([](auto& write) { write.rows[0].passage.token_count = -1; });
  add_bad([](auto& write) { write.document.key = ""; });
  add_bad([](auto& write) { write.document.key = std::string(513, 'k'); });
  add_bad([](auto& write) { write.document.key = std::string("a\0b", 3); });
  for (const auto& [write, code] : bad) {
    const auto committed = store->commit(make_batch({make_write("good", "x"), write}, {"a"}));
    CHECK(committed.status().code() == code);
    CHECK_FALSE(committed.status().message().empty());
  }
  CHECK(collection_of(*store).sequence == before.sequence);
  CHECK(collection_of(*store).digest == before.digest);
  CHECK(texts_of(*store) == std::map<std::string, std::string>{{"a", "text"}});
}

TEST_CASE("another width or another space is refused with both named") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "text")}));
  Batch other = make_batch({make_write("b", "text")});
  other.space = std::string(64, 'b');
  other.model = "other-model";
  Status status = store->commit(other).status();
  CHECK(status.code() == StatusCode::kModelMismatch);
  CHECK(contains(status.message(), "test-model"));
  CHECK(contains(status.message(), "other-model"));
  REQUIRE(store->create_collection("given", 3, true).ok());
  Batch wide = make_batch({make_write("b", "text")}, {}, "given");
  status = store->commit(wide).status();
  CHECK(status.code() == StatusCode::kModelMismatch);
  CHECK(contains(status.message(), "width 3"));
  CHECK(contains(status.message(), "4 wide"));
}

TEST_CASE("keys of any bytes do not collide, and two collections do not mix") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  REQUIRE(store->create_collection("second", 0, false).ok());
  const std::vector<std::string> keys = {"\x01",
                                         "a",
                                         "a/",
                                         "a\xff",
                                         "a\xff\xff",
                                         "../../etc/passwd",
                                         "d",
                                         "r\x01\x01\x01\x01",
                                         "\xff\xff\xff\xff",
                                         std::string(512, 'k'),
                                         "\n\x1b[2J"};
  std::vector<DocumentWrite> first;
  std::vector<DocumentWrite> second;
  std::map<std::string, std::string> texts;
  for (const std::string& key : keys) {
    first.push_back(make_write(key, "first " + key));
    second.push_back(make_write(key, "second"));
    texts[key] = "first " + key;
  }
  must_commit(*store, make_batch(first));
  must_commit(*store, make_batch(second, {}, "second"));
  CHECK(texts_of(*store) == texts);
  must_commit(*store, make_batch({}, keys, "second"));
  CHECK(texts_of(*store) == texts);
  CHECK(texts_of(*store, "second").empty());
  CHECK(collection_of(*store, "second").digest == Hash128{});
  check_verifies(*store);
}

TEST_CASE("keys are listed in byte order, from the one after, up to the limit") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  std::vector<DocumentWrite> writes;
  for (const char* key : {"b", "a", "ab", "a\x01", "\xc3\xa4", "c"}) {
    writes.push_back(make_write(key, "x"));
  }
  must_commit(*store, make_batch(writes));
  const auto view = store->view();
  const std::uint32_t id = collection_of(*store).id;
  const auto list = [&](const std::string& after, std::int64_t limit) {
    return store->list_keys(*view, id, after, limit).value();
  };
  using Keys = std::vector<std::string>;
  CHECK(list("", 100) == Keys{"a", "a\x01", "ab", "b", "c", "\xc3\xa4"});
  CHECK(list("a", 2) == Keys{"a\x01", "ab"});
  CHECK(list("aa", 1) == Keys{"ab"});
  CHECK(list("\xc3\xa4", 5).empty());
  CHECK(list("", 0).empty());
  CHECK(store->list_keys(*view, id + 1, "", 5).value().empty());
}

TEST_CASE("a view keeps showing its sequence while later batches change everything") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "old", 2)}));
  const auto view = store->view();
  const Collection then = *store->find_collection(*view, "default").value();
  must_commit(*store, make_batch({make_write("b", "new")}, {"a"}));
  CHECK(store->find_document(*view, then.id, "a").value()->document.text == "old");
  CHECK_FALSE(store->find_document(*view, then.id, "b").value().has_value());
  CHECK(store->rows(*view, then, std::vector<std::uint64_t>{1, 2}).ok());
  CHECK(store->sequence(*view) == 2);
  CHECK(store->sequence(*store->view()) == 3);
}

TEST_CASE("rows are scanned in ascending order from an id on, until the visitor has enough") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  must_commit(*store, make_batch({make_write("a", "x", 300), make_write("b", "y", 300)}));
  must_commit(*store, make_batch({}, {"a"}));
  const Collection collection = collection_of(*store);
  std::vector<std::uint64_t> seen;
  REQUIRE(store
              ->scan_rows(*store->view(), collection, 350,
                          [&](const Row& row) {
                            seen.push_back(row.id);
                            return seen.size() < 3;
                          })
              .ok());
  CHECK(seen == std::vector<std::uint64_t>{350, 351, 352});
  const auto all = testing::row_ids_of(*store, collection);
  CHECK(all.size() == 300);
  CHECK(all.front() == 301);
  std::vector<float> vectors(all.size() * kWidth);
  CHECK(store->read_vectors(*store->view(), collection, all, kWidth, vectors.data()).ok());
  CHECK(vectors[299 * kWidth + 1] == 299);
}

TEST_CASE("collections are listed by name, made once, and names are checked") {
  const TempFolder folder;
  auto store = must_open(folder / "db");
  const Result<Collection> made = store->create_collection("notes-1.x", 3, true);
  REQUIRE(made.ok());
  CHECK(made.value().external);
  CHECK(made.value().width == 3);
  CHECK(store->create_collection("notes-1.x", 3, true).status().code() ==
        StatusCode::kAlreadyExists);
  for (const std::string name : {"", ".hidden", "a/b", "..", "a b", "\xc3\xa4"}) {
    CHECK(store->create_collection(name, 0, false).status().code() == StatusCode::kInvalidArgument);
  }
  CHECK(store->create_collection(std::string(65, 'a'), 0, false).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(store->create_collection("wide", 65'537, true).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(store->create_collection("none", 0, true).status().code() == StatusCode::kInvalidArgument);
  REQUIRE(store->create_collection("a", 0, false).ok());
  const auto all = store->collections(*store->view()).value();
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "a");
  CHECK(all[1].name == "notes-1.x");
  CHECK(all[0].id != all[1].id);
  CHECK(store->commit(make_batch({}, {"x"}, "unknown")).status().code() == StatusCode::kNotFound);
}

TEST_CASE("attributes are kept, replaced, removed, and survive") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  REQUIRE(store->set_attribute("default", "source", "/somewhere").ok());
  REQUIRE(store->set_attribute("default", "other", "x").ok());
  REQUIRE(store->set_attribute("default", "other", "").ok());
  CHECK(store->set_attribute("unknown", "a", "b").code() == StatusCode::kNotFound);
  store.reset();
  store = must_open(folder / "db");
  CHECK(collection_of(*store).attributes ==
        std::map<std::string, std::string>{{"source", "/somewhere"}});
  check_verifies(*store);
}

TEST_CASE("a write is refused with the numbers before the disk is full, and reading goes on") {
  const TempFolder folder;
  std::int64_t free = std::int64_t{1} << 40;
  StoreOptions options;
  options.free_bytes = [&](const std::string&) { return free; };
  auto store = must_open(folder / "db", options);
  REQUIRE(store->create_collection("default", 0, false).ok());
  must_commit(*store, make_batch({make_write("a", "text")}));
  free = 64 << 20;
  const Status status = store->commit(make_batch({make_write("b", "text")})).status();
  CHECK(status.code() == StatusCode::kNoSpace);
  CHECK(contains(status.message(), "67,108,864 bytes are free"));
  CHECK(texts_of(*store).size() == 1);
  // A large batch needs more than the reserve: twice its bytes.
  free = (64 << 20) + 100'000;
  CHECK(store->commit(make_batch({make_write("b", std::string(60'000, 'x'))})).status().code() ==
        StatusCode::kNoSpace);
  must_commit(*store, make_batch({make_write("b", "small")}));
  store.reset();
  free = 1000;
  const Status refused = testing::open_status(folder / "db", options);
  CHECK(refused.code() == StatusCode::kNoSpace);
  CHECK(contains(refused.message(), "read-only"));
  options.read_only = true;
  CHECK(texts_of(*must_open(folder / "db", options)).size() == 2);
}

TEST_CASE("the cache folder is there, and the size on disk counts what is in the folder") {
  const TempFolder folder;
  auto store = store_with_collection(folder / "db");
  CHECK(std::filesystem::is_directory(store->cache_folder()));
  const std::int64_t before = store->disk_bytes();
  // RocksDB writes and deletes small files of its own meanwhile: so the file is far larger than
  // they all are.
  constexpr std::int64_t kBytes = 8 << 20;
  testing::write_bytes(store->cache_folder() + "/x", std::string(kBytes, 'x'));
  const std::int64_t grown = store->disk_bytes() - before;
  CHECK(grown > kBytes - (1 << 20));
  CHECK(grown < kBytes + (1 << 20));
  CHECK(store->path() == folder / "db");
  CHECK_FALSE(store->read_only());
}

}  // namespace nestor::storage
