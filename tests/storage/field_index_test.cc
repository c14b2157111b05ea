// The field index: an order that is exact, entries that go with their documents, an older format
// brought level, and a verify that misses nothing.
#include "storage/field_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "storage/field_codec.h"
#include "storage/key_schema.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {

using testing::make_batch;
using testing::make_write;
using testing::must_commit;
using testing::must_open;
using testing::TempFolder;

namespace {

std::string encoded(const MetadataScalar& number) {
  std::string key;
  append_number(key, number);
  return key;
}

// The x87 format has 64 bits of mantissa: every integer of 64 bits and every double is one of its
// numbers.
long double exact(const MetadataScalar& number) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  if (const auto* whole = std::get_if<std::int64_t>(&number.variant())) {
    return static_cast<long double>(*whole);
  }
  if (const auto* large = std::get_if<std::uint64_t>(&number.variant())) {
    return static_cast<long double>(*large);
  }
  return static_cast<long double>(std::get<double>(number.variant()));
}

DocumentWrite write_with(const std::string& key, Metadata metadata, int row_count = 1) {
  DocumentWrite write = make_write(key, "text", row_count);
  write.document.metadata = std::move(metadata);
  return write;
}

std::vector<std::uint64_t> found_in(const DocumentStore& store, const FieldRange& range) {
  std::vector<std::uint64_t> ids;
  const Status status = store.scan_field(*store.view(), range, [&](const FieldEntry& entry) {
    ids.push_back(entry.first_row_id);
    return true;
  });
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return ids;
}

using Ids = std::vector<std::uint64_t>;

std::unique_ptr<DocumentStore> new_store(const std::string& path) {
  auto store = must_open(path);
  REQUIRE(store->create_collection("default", 0, false).ok());
  return store;
}

void with_raw(const std::string& path, const std::function<void(rocksdb::DB&)>& work) {
  auto db = open_rocksdb(path + "/rocksdb", OpenMode::kWrite);
  REQUIRE_MESSAGE(db.ok(), db.status().to_string());
  work(*db.value());
}

std::vector<std::string> problems_of(const DocumentStore& store) {
  auto report = store.verify({});
  REQUIRE_MESSAGE(report.ok(), report.status().to_string());
  return report.value().problems;
}

}  // namespace

TEST_CASE("encoded numbers have the exact order of integers and doubles together") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<MetadataScalar> numbers = {0,
                                         -0.0,
                                         1,
                                         -1,
                                         0.5,
                                         -0.5,
                                         std::numeric_limits<std::int64_t>::max(),
                                         1e300,
                                         -1e300,
                                         std::numeric_limits<std::int64_t>::min(),
                                         5e-324,
                                         -5e-324,
                                         kInfinity,
                                         -kInfinity,
                                         9223372036854775808.0,
                                         -9223372036854775808.0};
  for (int bit = 50; bit < 63; ++bit) {
    for (const std::int64_t step : {-2, -1, 0, 1, 2}) {
      const std::int64_t whole = (std::int64_t{1} << bit) + step;
      numbers.insert(numbers.end(), {whole, -whole, static_cast<double>(whole)});
    }
  }
  for (int bit = 0; bit < 64; ++bit) {
    const std::uint64_t large = ~std::uint64_t{0} - ((std::uint64_t{1} << bit) >> 1);
    numbers.insert(numbers.end(), {large, large + 1, large - 1, static_cast<double>(large)});
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t large = random() | std::uint64_t{1} << 63;
    numbers.insert(numbers.end(), {large, large + 1, static_cast<double>(large)});
    const auto whole = static_cast<std::int64_t>(random() >> random() % 60);
    numbers.insert(numbers.end(), {whole, -whole, static_cast<double>(whole),
                                   std::nextafter(static_cast<double>(whole), kInfinity)});
  }
  for (const MetadataScalar& a : numbers) {
    for (const MetadataScalar& b : numbers) {
      const bool same =
          (encoded(a) <=> encoded(b)) == (exact(a) < exact(b)   ? std::strong_ordering::less
                                          : exact(a) > exact(b) ? std::strong_ordering::greater
                                                                : std::strong_ordering::equal);
      if (!same) {
        CAPTURE(static_cast<double>(exact(a)));
        CAPTURE(static_cast<double>(exact(b)));
        CHECK(same);
      }
    }
  }
  CHECK(encoded(std::nan("")) > encoded(kInfinity));
  CHECK(encoded(-std::nan("")) == encoded(std::nan("")));
}

TEST_CASE("encoded strings keep byte order, and no string reads into another's end") {
  std::vector<std::string> texts = {"",
                                    std::string(1, '\0'),
                                    std::string("\0\0", 2),
                                    std::string("\0\x01", 2),
                                    std::string("\0\xff", 2),
                                    "\x01",
                                    "a",
                                    std::string("a\0", 2),
                                    std::string("a\0b", 3),
                                    "ab",
                                    "b",
                                    "\xff",
                                    std::string(512, 'x'),
                                    std::string(511, 'x')};
  std::sort(texts.begin(), texts.end());
  std::vector<std::string> keys;
  for (const std::string& text : texts) append_string(keys.emplace_back(), text);
  CHECK(std::is_sorted(keys.begin(), keys.end()));
  for (const std::string& a : keys) {
    for (const std::string& b : keys) CHECK((a == b || !b.starts_with(a)));
  }
  std::string one;
  std::string other;
  append_string(one, std::string(513, 'x'));
  append_string(other, std::string(512, 'x') + "y");
  CHECK(one != other);
  CHECK(one.size() == other.size());
}

TEST_CASE("every value of a document is found by its range, and by no other") {
  const TempFolder folder;
  auto store = new_store(folder / "db");
  must_commit(*store,
              make_batch({write_with("a", {{"n", 5}, {"d", "2024-05-01"}, {"t", {"x", 2}}}, 3),
                          write_with("b", {{"n", 5.5}, {"d", "2024-05-01T02:00+02:00"}}),
                          write_with("c", {{"n", "5"}, {"t", MetadataValue::List{}}}),
                          write_with("d", {{"n", true}, {"n2", 5}})}));
  const FieldPlace n{1, false, "n"};
  const FieldPlace d{1, false, "d"};
  const FieldPlace t{1, false, "t"};
  const FieldPlace key{1, true, "key"};
  CHECK(found_in(*store, equal_range(n, 5, false)) == Ids{1});
  CHECK(found_in(*store, equal_range(n, 5.0, false)) == Ids{1});
  CHECK(found_in(*store, equal_range(n, "5", false)) == Ids{5});
  CHECK(found_in(*store, equal_range(n, true, false)) == Ids{6});
  CHECK(found_in(*store, greater_range(n, 5, false)) == Ids{4});
  CHECK(found_in(*store, greater_range(n, 5, true)) == Ids{1, 4});
  CHECK(found_in(*store, less_range(n, 5.5, false)) == Ids{1});
  CHECK(found_in(*store, less_range(n, 5.5, true)) == Ids{1, 4});
  CHECK(found_in(*store, equal_range(d, "2024-04-30T24:00", false)) == Ids{1, 4});
  CHECK(found_in(*store, greater_range(d, "2024-04-30", false)) == Ids{1, 4});
  CHECK(found_in(*store, prefix_range(d, "2024-05-01T")) == Ids{4});
  CHECK(found_in(*store, equal_range(t, "x", true)) == Ids{1});
  CHECK(found_in(*store, equal_range(t, "x", false)).empty());
  CHECK(found_in(*store, whole_kind(t, FieldKind::kEmptyList, false)) == Ids{5});
  CHECK(found_in(*store, whole_field(t)) == Ids{1, 1, 5});
  CHECK(found_in(*store, whole_kind(key, FieldKind::kString, false)) == Ids{1, 4, 5, 6});
  CHECK(found_in(*store, strings_after(key, "b")) == Ids{5, 6});
  std::vector<FieldEntry> entries;
  REQUIRE(store
              ->scan_field(*store->view(), equal_range(n, 5, false),
                           [&](const FieldEntry& entry) {
                             entries.push_back(entry);
                             return true;
                           })
              .ok());
  CHECK(entries.at(0).row_count == 3);
  CHECK(entries.at(0).number == 5);
  testing::check_verifies(*store);
}

TEST_CASE("entries go with their documents: replaced, removed, and changed in place") {
  const TempFolder folder;
  auto store = new_store(folder / "db");
  const FieldPlace n{1, false, "n"};
  must_commit(*store, make_batch({write_with("a", {{"n", 1}}, 2), write_with("b", {{"n", 1}})}));
  must_commit(*store, make_batch({write_with("a", {{"n", 2}})}, {"b"}));
  CHECK(found_in(*store, whole_field(n)) == Ids{4});
  CHECK(found_in(*store, equal_range(n, 2, false)) == Ids{4});
  const Collection before = testing::collection_of(*store);
  Batch change = make_batch({});
  change.metadata_writes = {{"a", {{"n", 3}, {"m", "x"}}}, {"unknown", {}}};
  const Commit commit = must_commit(*store, change);
  CHECK(commit.changed_documents == 1);
  CHECK(commit.row_ids.empty());
  CHECK(commit.removed_row_ids.empty());
  CHECK(found_in(*store, whole_field(n)) == Ids{4});
  CHECK(found_in(*store, equal_range(n, 3, false)) == Ids{4});
  const Collection after = testing::collection_of(*store);
  CHECK(after.next_row_id == before.next_row_id);
  CHECK(after.digest != before.digest);
  // An index cache of before has nothing to catch up with.
  const auto changes = store->changes_since(*store->view(), after, before.sequence, before.digest);
  REQUIRE(changes.ok());
  REQUIRE(changes.value().has_value());
  CHECK(changes.value()->removed_row_ids.empty());
  CHECK(changes.value()->first_new_row_id == after.next_row_id);
  const auto document = store->find_document(*store->view(), 1, "a");
  CHECK(document.value()->document.text == "text");
  CHECK(document.value()->document.metadata == Metadata{{"n", 3}, {"m", "x"}});
  testing::check_verifies(*store);
  must_commit(*store, make_batch({}, {"a"}));
  CHECK(found_in(*store, whole_field(n)).empty());
  CHECK(found_in(*store, whole_field({1, true, "title"})).empty());
  testing::check_verifies(*store);
}

TEST_CASE("verify names an entry that is missing, one that is too many, and a damaged one") {
  const TempFolder folder;
  const std::string path = folder / "db";
  new_store(path).reset();
  must_commit(*must_open(path), make_batch({write_with("a", {{"year", 1}}), write_with("b", {})}));
  const std::string prefix = field_prefix({1, false, "year"});
  std::string entry;
  std::string value;
  with_raw(path, [&](rocksdb::DB& db) {
    const std::unique_ptr<rocksdb::Iterator> at(db.NewIterator({}));
    at->Seek(prefix);
    REQUIRE(at->Valid());
    entry = at->key().ToString();
    value = at->value().ToString();
    REQUIRE(db.Delete({}, entry).ok());
  });
  auto problems = problems_of(*must_open(path));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] ==
        "collection 'default', document 'a': its entry for field 'year' is missing from the field "
        "index");
  StoredDocument foreign;
  foreign.document.key = "a";
  foreign.document.metadata = {{"year", 7}};
  foreign.first_row_id = 1;
  foreign.passage_count = 1;
  with_raw(path, [&](rocksdb::DB& db) {
    REQUIRE(db.Put({}, entry, value).ok());
    for (const auto& [key, bytes] : field_entries(1, foreign)) {
      if (key.starts_with(prefix)) REQUIRE(db.Put({}, key, bytes).ok());
    }
  });
  problems = problems_of(*must_open(path));
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] ==
        "collection 'default': the field index has an entry for field 'year' of row 1, and no "
        "document has that value there");
  with_raw(path, [&](rocksdb::DB& db) {
    for (const auto& [key, bytes] : field_entries(1, foreign)) {
      if (key.starts_with(prefix)) REQUIRE(db.Delete({}, key).ok());
    }
    value[1] = static_cast<char>(value[1] ^ 1);
    REQUIRE(db.Put({}, entry, value).ok());
  });
  auto store = must_open(path);
  CHECK_FALSE(problems_of(*store).empty());
  const Status scanned = store->scan_field(*store->view(), whole_field({1, false, "year"}),
                                           [](const FieldEntry&) { return true; });
  CHECK(scanned.code() == StatusCode::kDataLoss);
}

TEST_CASE("a format 1 database has no field index read-only, and one once it is written to") {
  const TempFolder folder;
  const std::string path = folder / "db";
  std::filesystem::copy(nestor::testing::tests_path("compat/v1"), path,
                        std::filesystem::copy_options::recursive);
  {
    StoreOptions options;
    options.read_only = true;
    auto store = must_open(path, options);
    CHECK_FALSE(store->has_field_index(*store->view(), 1).value());
    auto report = store->verify({});
    REQUIRE(report.ok());
    CHECK(report.value().problems.empty());
    CHECK(report.value().notes.size() == 4);  // as many on the content index
    CHECK(read_manifest(path).value()->format_version == 1);
  }
  auto store = must_open(path);
  CHECK(store->has_field_index(*store->view(), 1).value());
  CHECK(read_manifest(path).value()->format_version == kFormatVersion);
  CHECK(found_in(*store, equal_range({1, false, "year"}, 2024, false)) == Ids{1, 4});
  CHECK(found_in(*store, equal_range({2, true, "key"}, "x", false)) == Ids{1});
  testing::check_verifies(*store);
}

TEST_CASE("an upgrade that died anywhere is made anew by the next opener") {
  const TempFolder folder;
  const std::string path = folder / "db";
  new_store(path).reset();
  {
    auto store = must_open(path);
    for (int i = 0; i < 20; ++i) {
      must_commit(*store, make_batch({write_with("k" + std::to_string(i), {{"n", i}})}));
    }
  }
  for (int round = 0; round < 5; ++round) {
    // As if only some entries had been written, and no marker; among them one that is wrong.
    with_raw(path, [&](rocksdb::DB& db) {
      const std::string marker = key_prefix(KeyTag::kField, 1);
      REQUIRE(db.Delete({}, marker).ok());
      const std::unique_ptr<rocksdb::Iterator> at(db.NewIterator({}));
      int count = 0;
      for (at->Seek(marker); at->Valid() && at->key().starts_with("f"); at->Next()) {
        if (++count % 5 >= round) REQUIRE(db.Delete({}, at->key()).ok());
      }
      const std::string stray = field_prefix({1, false, "stray"}) + "x";
      REQUIRE(db.Put({}, stray, "nothing").ok());
    });
    auto store = must_open(path);
    testing::check_verifies(*store);
    CHECK(found_in(*store, whole_field({1, false, "n"})).size() == 20);
  }
}

TEST_CASE("an upgrade without room is refused, and the database stays readable") {
  const TempFolder folder;
  const std::string path = folder / "db";
  std::filesystem::copy(nestor::testing::tests_path("compat/v1"), path,
                        std::filesystem::copy_options::recursive);
  StoreOptions options;
  int asked = 0;
  // Enough for the open itself, not for the entries.
  options.free_bytes = [&](const std::string&) { return ++asked < 3 ? std::int64_t{1} << 40 : 0; };
  CHECK(testing::open_status(path, options).code() == StatusCode::kNoSpace);
  StoreOptions read_only;
  read_only.read_only = true;
  CHECK(testing::texts_of(*must_open(path, read_only)).size() == 2);
  auto store = must_open(path);
  CHECK(store->has_field_index(*store->view(), 1).value());
  testing::check_verifies(*store);
}

}  // namespace nestor::storage
