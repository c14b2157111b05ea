// The bytes of FORMAT.md's examples. A change here is a change of the format: it needs a new
// version, a line in FORMAT.md's history and a new folder under tests/compat/.
#include <doctest/doctest.h>

#include "core/hash.h"
#include "storage/content_index.h"
#include "storage/field_index.h"
#include "storage/key_schema.h"
#include "storage/manifest.h"
#include "storage/record_codec.h"
#include "storage/record_digest.h"
#include "storage/watermark.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {
namespace {

StoredDocument example_document() {
  StoredDocument stored;
  stored.document.key = "a";
  stored.document.title = "T";
  stored.document.text = "hello";
  stored.document.metadata = {{"b", true}, {"l", {"x", 1}}, {"n", -2}, {"r", 0.5}, {"s", "y"}};
  stored.first_row_id = 5;
  stored.passage_count = 2;
  stored.split_tokens = 256;
  return stored;
}

Row example_row() {
  Row row;
  row.document_key = "a";
  row.passage.index = 1;
  row.passage.bytes = {2, 5};
  row.passage.lines = {1, 3};
  row.passage.heading_path = "H";
  row.passage.token_count = 300;
  row.passage.truncated = true;
  row.passage.mode = NumericMode::kExternal;
  row.passage.content = {.low = 0x0102030405060708, .high = 0x1112131415161718};
  row.vector = {1.0F, -2.5F};
  return row;
}

CollectionRecord example_collection() {
  CollectionRecord record;
  Collection& collection = record.collection;
  collection.id = 3;
  collection.width = 768;
  collection.space = "ab";
  collection.model = "m";
  collection.next_row_id = 7;
  collection.documents = 1;
  collection.passages = 2;
  collection.text_bytes = 5;
  collection.truncated_passages = 1;
  collection.rows_by_mode = {{0, 2}};
  collection.digest = {.low = 1, .high = 2};
  collection.sequence = 9;
  collection.attributes = {{"k", "v"}};
  record.journal = {.first_sequence = 8, .entry_count = 2, .removed_count = 3};
  return record;
}

void check_bytes(const char* what, const std::string& bytes, const std::string& expected_hex) {
  INFO(what);
  CHECK(hex_of(bytes) == expected_hex);
}

}  // namespace

TEST_CASE("keys have the bytes of FORMAT.md") {
  check_bytes("catalog", catalog_key("notes"), "636e6f746573");
  check_bytes("document", document_key(3, "a"), "640000000361");
  check_bytes("journal", journal_key(3, 9), "6a000000030000000000000009");
  check_bytes("meta", meta_key("state"), "6d7374617465");
  check_bytes("row", row_key(3, 6), "72000000030000000000000006");
}

TEST_CASE("a collection with a metric of its own has the bytes of FORMAT.md") {
  CollectionRecord record = example_collection();
  record.collection.external = true;
  record.collection.metric = Metric::kL2;
  check_bytes("collection by distance", encode_collection(catalog_key("notes"), record),
              "020300000080060102026162016d07000000000000000102050101000201000000000000000200000000"
              "000000090000000000000001016b017608000000000000000203e0f89eb96f0e3114");
}

TEST_CASE("records have the bytes of FORMAT.md") {
  check_bytes("state", encode_state(meta_key("state"), {.sequence = 9, .next_collection_id = 4}),
              "01090000000000000004000000983179dbac8a8aa9");
  check_bytes("format",
              encode_format(meta_key("format"), {.format_version = 1,
                                                 .database_id = 0x0102030405060708,
                                                 .writer = "0.1.0",
                                                 .created_seconds = 1'700'000'000}),
              "0101000000080706050403020105302e312e3000f1536500000000921b1c0269bdffcf");
  check_bytes("collection", encode_collection(catalog_key("notes"), example_collection()),
              "0103000000800600026162016d0700000000000000010205010100020100000000000000020000000000"
              "0000090000000000000001016b0176080000000000000002037cccea298bd616a6");
  check_bytes(
      "journal entry",
      encode_journal_entry(journal_key(3, 9), {.sequence = 9,
                                               .previous_sequence = 8,
                                               .first_new_row_id = 5,
                                               .digest = {.low = 1, .high = 2},
                                               .removed_row_ids = {1, 300}}),
      "0108000000000000000500000000000000010000000000000002000000000000000201ac028a5627e94ba4e74f");
  check_bytes("document", encode_document(document_key(3, "a"), example_document()),
              "01050000000000000002800201540568656c6c6f0501620301016c040200017801010000000000000001"
              "6e01feffffffffffffff017202000000000000e03f0173000179ce248d0f510e89c5");
  check_bytes("row", encode_row(row_key(3, 6), example_row()),
              "01016101020501030148ac02010108070605040302011817161514131211020000803f000020c09cbb1c"
              "3bb9927ffb");
}

TEST_CASE("entries of the field index have the bytes of FORMAT.md") {
  const auto entries = field_entries(3, example_document());
  REQUIRE(entries.size() == 8);
  std::vector<std::string> keys;
  for (const auto& [key, value] : entries) keys.push_back(hex_of(key));
  CHECK(keys == std::vector<std::string>{"6600000003006b65790001406100010000000000000005",
                                         "6600000003007469746c650001405400010000000000000005",
                                         "66000000030162000110010000000000000005",
                                         "6600000003016c000121bff000000000000000000000000000000005",
                                         "6600000003016c0001417800010000000000000005",
                                         "6600000003016e0001203fffffffffffffff00000000000000000005",
                                         "66000000030172000120bfe000000000000000000000000000000005",
                                         "660000000301730001407900010000000000000005"});
  check_bytes("value", entries.front().second, "0102615b3773cfcfd963");
  CHECK(hex_of(key_prefix(KeyTag::kField, 3)) == "6600000003");
}

TEST_CASE("a document that is not its file has the bytes of FORMAT.md") {
  StoredDocument marked = example_document();
  marked.document.source.changes = {{0, 0, 3}};
  check_bytes("document with a byte order mark", encode_document(document_key(3, "a"), marked),
              "02050000000000000002800201540568656c6c6f0501620301016c040200017801010000000000000001"
              "6e01feffffffffffffff017202000000000000e03f01730001790001000003a3e0bf028bd6137a");
}

TEST_CASE("records of the content index have the bytes of FORMAT.md") {
  Row row = example_row();
  row.id = 6;
  row.passage.mode = NumericMode::kInt8;
  check_bytes("key", content_key_of(3, row),
              "680000000308070605040302011817161514131211030000000000000006");
  CHECK(hex_of(key_prefix(KeyTag::kContent, 3)) == "6800000003");
}

TEST_CASE("the digest is the sum of the records' hashes and goes back to nothing") {
  Hash128 digest;
  add_to_digest(digest, "key", "value");
  const Hash128 one = digest;
  CHECK(one == hash128("\x03keyvalue"));
  CHECK(one.low == 0x9342f91bf3578c61);
  CHECK(one.high == 0x5cc26e6ed256a76f);
  const Hash128 before_carry = digest;
  for (int i = 0; i < 100; ++i) add_to_digest(digest, "k" + std::to_string(i), "v");
  for (int i = 99; i >= 0; --i) take_from_digest(digest, "k" + std::to_string(i), "v");
  CHECK(digest == before_carry);
  take_from_digest(digest, "key", "value");
  CHECK(digest == Hash128{});
}

TEST_CASE("manifest and watermark have the bytes of FORMAT.md") {
  const testing::TempFolder folder;
  REQUIRE(write_manifest(folder.path(), {.format_version = 1,
                                         .complete = true,
                                         .database_id = 0x0102030405060708,
                                         .writer = "0.1.0",
                                         .created_seconds = 1'700'000'000})
              .ok());
  check_bytes("manifest", testing::read_bytes(folder / "NESTOR"),
              "4e4553544f5244420100000066334d2a9c04270e01080706050403020105302e312e3000f15365000000"
              "009973b1d7618e6a98");
  REQUIRE(create_watermark(folder.path(), 0x0102030405060708).ok());
  auto writer = WatermarkWriter::open(folder.path(), 0x0102030405060708);
  REQUIRE(writer.ok());
  REQUIRE(writer.value().advance(1).ok());
  const std::string bytes = testing::read_bytes(folder / "WATERMARK");
  REQUIRE(bytes.size() == 8192);
  check_bytes("even slot", bytes.substr(0, 32),
              "4e4553544f52574d00000000000000000807060504030201a499d6c3f549412c");
  check_bytes("odd slot", bytes.substr(4096, 32),
              "4e4553544f52574d0100000000000000080706050403020184e5c407a792ef1d");
  CHECK(bytes.find_first_not_of('\0', 32) == 4096);
}

}  // namespace nestor::storage
