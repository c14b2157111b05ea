#include "storage/record_codec.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "storage/key_schema.h"
#include "storage/record_frame.h"
#include "tests/storage/store_fixtures.h"

namespace nestor::storage {
namespace {

Row sample_row() {
  Row row = testing::make_write("key", "some text", 2).rows[1];
  row.id = 77;
  row.document_key = "key";
  row.passage.index = 1;
  row.passage.mode = NumericMode::kBf16;
  return row;
}

StoredDocument sample_document() {
  StoredDocument stored;
  stored.document = testing::make_write("key", "text with \0 NUL").document;
  stored.document.text = std::string("a\0b", 3);
  stored.document.metadata = {{"s", "text"},
                              {"i", std::numeric_limits<std::int64_t>::min()},
                              {"most", std::numeric_limits<std::uint64_t>::max()},
                              {"large list", {std::uint64_t{1} << 63, 1}},
                              {"d", 1e-320},
                              {"negative zero", -0.0},
                              {"b", false},
                              {"empty list", MetadataValue::List{}},
                              {"mixed", {"x", 1, 1.5, true}}};
  stored.first_row_id = 12;
  stored.passage_count = 3;
  stored.split_tokens = 256;
  return stored;
}

CollectionRecord sample_collection() {
  CollectionRecord record;
  Collection& collection = record.collection;
  collection.id = 3;
  collection.name = "notes";
  collection.width = 768;
  collection.space = std::string(64, 'f');
  collection.model = "embeddinggemma-300m";
  collection.next_row_id = 1'000'000'007;
  collection.documents = 5;
  collection.passages = 9;
  collection.text_bytes = 1234;
  collection.truncated_passages = 1;
  collection.rows_by_mode = {{0, 8}, {2, 1}};
  collection.digest = {.low = 1, .high = 2};
  collection.sequence = 44;
  collection.attributes = {{"source", "/data/x"}};
  record.journal = {.first_sequence = 40, .entry_count = 5, .removed_count = 6};
  return record;
}

}  // namespace

TEST_CASE("a collection's metric comes back, and programs that know none refuse it by version") {
  const std::string key = catalog_key("notes");
  CollectionRecord record = sample_collection();
  record.collection.external = true;
  for (const Metric metric : {Metric::kDot, Metric::kL2}) {
    record.collection.metric = metric;
    const std::string value = encode_collection(key, record);
    const auto read = decode_collection(key, value);
    REQUIRE(read.ok());
    CHECK(read.value().collection.metric == metric);
    CHECK(read.value().collection.attributes == record.collection.attributes);
    CHECK(read.value().journal == record.journal);
    // As every program before metrics reads any record.
    const Status refused = open_record(key, value, 1).status();
    CHECK(refused.code() == StatusCode::kUnsupported);
    CHECK(refused.message().find("version 2") != std::string::npos);
  }
  record.collection.metric = Metric::kCosine;
  const std::string plain = encode_collection(key, record);
  CHECK(plain.front() == 1);
  CHECK(decode_collection(key, plain).value().collection.metric == Metric::kCosine);
}

TEST_CASE("a metric that there is not, or on a collection that embeds, is damage") {
  const std::string key = catalog_key("notes");
  CollectionRecord record = sample_collection();
  record.collection.metric = Metric::kDot;  // not external
  CHECK(decode_collection(key, encode_collection(key, record)).status().code() ==
        StatusCode::kDataLoss);
  record.collection.external = true;
  record.collection.metric = static_cast<Metric>(3);
  CHECK(decode_collection(key, encode_collection(key, record)).status().code() ==
        StatusCode::kDataLoss);
}

TEST_CASE("a row comes back equal") {
  const std::string key = row_key(3, 77);
  const Row row = sample_row();
  const Result<Row> back = decode_row(key, encode_row(key, row), testing::kWidth);
  REQUIRE(back.ok());
  CHECK(back.value().id == 77);
  CHECK(back.value().document_key == "key");
  CHECK(back.value().vector == row.vector);
  const Passage& passage = back.value().passage;
  CHECK(passage.index == 1);
  CHECK(passage.bytes == row.passage.bytes);
  CHECK(passage.lines == row.passage.lines);
  CHECK(passage.heading_path == "A > B");
  CHECK(passage.token_count == 8);
  CHECK(passage.truncated);
  CHECK(passage.mode == NumericMode::kBf16);
  CHECK(passage.content == row.passage.content);
}

TEST_CASE("a row's vector is read alone, at any prefix") {
  const std::string key = row_key(3, 77);
  const std::string value = encode_row(key, sample_row());
  for (std::size_t width = 0; width <= 4; ++width) {
    std::vector<float> out(width);
    CHECK(decode_row_vector(key, value, testing::kWidth, out).ok());
    CHECK(std::equal(out.begin(), out.end(), sample_row().vector.begin()));
  }
  std::vector<float> out(3);
  CHECK(decode_row_vector(key, value, 3, out).code() == StatusCode::kDataLoss);
}

TEST_CASE("a document comes back equal, its metadata bit for bit") {
  const std::string key = document_key(3, "key");
  const StoredDocument stored = sample_document();
  const Result<StoredDocument> back = decode_document(key, encode_document(key, stored));
  REQUIRE(back.ok());
  CHECK(back.value().document.key == "key");
  CHECK(back.value().document.title == stored.document.title);
  CHECK(back.value().document.text == stored.document.text);
  CHECK(back.value().document.metadata == stored.document.metadata);
  const auto& zero = back.value().document.metadata.at("negative zero").scalar().variant();
  CHECK(std::signbit(std::get<double>(zero)));
  CHECK(back.value().first_row_id == 12);
  CHECK(back.value().passage_count == 3);
  CHECK(back.value().split_tokens == 256);
}

TEST_CASE("a collection comes back equal") {
  const std::string key = catalog_key("notes");
  const CollectionRecord record = sample_collection();
  const std::string value = encode_collection(key, record);
  const Result<CollectionRecord> back = decode_collection(key, value);
  REQUIRE(back.ok());
  CHECK(back.value().collection.name == "notes");
  CHECK(back.value().collection.rows_by_mode == record.collection.rows_by_mode);
  CHECK(back.value().collection.attributes == record.collection.attributes);
  CHECK(back.value().journal == record.journal);
  CHECK(encode_collection(key, back.value()) == value);
}

TEST_CASE("a journal entry comes back equal") {
  const std::string key = journal_key(3, 44);
  const JournalEntry entry{.sequence = 44,
                           .previous_sequence = 41,
                           .first_new_row_id = 9,
                           .digest = {.low = 5, .high = 6},
                           .removed_row_ids = {1, 300, 70'000}};
  const Result<JournalEntry> back = decode_journal_entry(key, encode_journal_entry(key, entry));
  REQUIRE(back.ok());
  CHECK(back.value().sequence == 44);
  CHECK(back.value().previous_sequence == 41);
  CHECK(back.value().first_new_row_id == 9);
  CHECK(back.value().digest == entry.digest);
  CHECK(back.value().removed_row_ids == entry.removed_row_ids);
}

TEST_CASE("every cut, every flipped bit and every foreign key is data loss, and is named") {
  const std::string key = document_key(3, "key");
  const std::string value = encode_document(key, sample_document());
  for (std::size_t length = 0; length < value.size(); ++length) {
    const Status status = decode_document(key, value.substr(0, length)).status();
    CHECK(status.code() == StatusCode::kDataLoss);
    CHECK(testing::contains(status.message(), "document 'key' of collection 3"));
  }
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string flipped = value;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CHECK(decode_document(key, flipped).status().code() == StatusCode::kDataLoss);
  }
  CHECK(decode_document(document_key(3, "other"), value).status().code() == StatusCode::kDataLoss);
  CHECK(decode_document(document_key(4, "key"), value).status().code() == StatusCode::kDataLoss);
}

TEST_CASE(
    "a record whose checksum is right and whose fields are not is refused without allocating") {
  const std::string key = document_key(3, "key");
  ByteWriter lies;
  lies.u64(1);
  lies.varint(1);
  lies.varint(0);
  lies.varint(std::numeric_limits<std::uint64_t>::max());  // length of the title
  const Status status = decode_document(key, seal_record(key, lies)).status();
  CHECK(status.code() == StatusCode::kDataLoss);
  ByteWriter removals;
  removals.u64(0);
  removals.u64(1);
  removals.u64(0);
  removals.u64(0);
  removals.varint(std::uint64_t{1} << 60);
  const std::string entry_key = journal_key(3, 1);
  CHECK(decode_journal_entry(entry_key, seal_record(entry_key, removals)).status().code() ==
        StatusCode::kDataLoss);
}

TEST_CASE("a newer record version is refused with both numbers") {
  const std::string key = meta_key("state");
  std::string body = "\x02payload";
  ByteWriter value;
  value.raw(body);
  value.u64(hash64(body) ^ hash64(key));
  const Status status = decode_state(key, value.bytes()).status();
  CHECK(status.code() == StatusCode::kUnsupported);
  CHECK(testing::contains(status.message(), "version 2"));
  CHECK(testing::contains(status.message(), "up to 1"));
}

}  // namespace nestor::storage
