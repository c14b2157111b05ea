#include "storage/record_codec.h"

#include <bit>
#include <optional>

#include "core/macros.h"
#include "core/text_source.h"
#include "storage/key_schema.h"
#include "storage/metadata_codec.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

constexpr std::int64_t kMostWidth = 65'536;
constexpr std::uint8_t kTruncatedFlag = 1;

void put_hash(ByteWriter& out, const Hash128& hash) {
  out.u64(hash.low);
  out.u64(hash.high);
}

Hash128 take_hash(RecordReader& in) {
  Hash128 hash;
  hash.low = in.u64();
  hash.high = in.u64();
  return hash;
}

void put_count(ByteWriter& out, std::int64_t value) {
  out.varint(static_cast<std::uint64_t>(value));
}

// Everything of a row before its components; the reader stands at them afterwards.
struct RowHead {
  std::string_view document_key;
  std::string_view heading_path;
  Passage passage;  // without heading_path
  int width = 0;
};

RowHead take_row_head(RecordReader& in) {
  RowHead head;
  Passage& passage = head.passage;
  head.document_key = in.view();
  passage.index = in.count();
  passage.bytes.begin = in.count();
  passage.bytes.end = in.count();
  passage.lines.first = in.count();
  passage.lines.last = in.count();
  head.heading_path = in.view();
  passage.token_count =
      static_cast<std::int32_t>(in.count(std::numeric_limits<std::int32_t>::max()));
  passage.truncated = (in.count(kTruncatedFlag) & kTruncatedFlag) != 0;
  passage.mode = static_cast<NumericMode>(in.count(static_cast<std::int64_t>(NumericMode::kInt8)));
  passage.content = take_hash(in);
  in.require(!head.document_key.empty() && passage.bytes.begin <= passage.bytes.end);
  in.require(passage.lines.first <= passage.lines.last);
  head.width = static_cast<int>(in.count(kMostWidth));
  return head;
}

Status wrong_layout(std::string_view key) {
  return damaged_record(key, "the checksum is right, the fields are not");
}

void put_source(ByteWriter& out, const SourceMap& source) {
  out.u8(static_cast<std::uint8_t>(source.encoding));
  out.varint(source.changes.size());
  std::int64_t end = 0;
  for (const SourceMap::Change& change : source.changes) {
    put_count(out, change.text_offset - end);
    put_count(out, change.text_bytes);
    put_count(out, change.source_bytes);
    end = std::int64_t{change.text_offset} + change.text_bytes;
  }
}

SourceMap take_source(RecordReader& in) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  SourceMap source;
  source.encoding =
      static_cast<SourceMap::Encoding>(in.count(static_cast<int>(SourceMap::Encoding::kUtf32Be)));
  std::int64_t end = 0;
  for (std::size_t left = in.elements(3); left > 0 && in.ok(); --left) {
    const std::int64_t offset = end + in.count(kMost);
    const std::int64_t text_bytes = in.count(kMost);
    const std::int64_t source_bytes = in.count(kMost);
    end = offset + text_bytes;
    in.require(end <= kMost);
    source.changes.push_back({static_cast<std::int32_t>(offset),
                              static_cast<std::int32_t>(text_bytes),
                              static_cast<std::int32_t>(source_bytes)});
  }
  return source;
}

void put_counts(ByteWriter& out, const Collection& collection) {
  put_count(out, collection.documents);
  put_count(out, collection.passages);
  put_count(out, collection.text_bytes);
  put_count(out, collection.truncated_passages);
  out.varint(collection.rows_by_mode.size());
  for (const auto& [mode, rows] : collection.rows_by_mode) {
    out.u8(mode);
    put_count(out, rows);
  }
}

void take_counts(RecordReader& in, Collection& collection) {
  collection.documents = in.count();
  collection.passages = in.count();
  collection.text_bytes = in.count();
  collection.truncated_passages = in.count();
  for (std::size_t left = in.elements(2); left > 0 && in.ok(); --left) {
    const std::uint8_t mode = in.u8();
    collection.rows_by_mode[mode] = in.count();
  }
}

}  // namespace

std::string encode_state(std::string_view key, const StoreState& state) {
  ByteWriter out;
  out.u64(state.sequence);
  out.u32(state.next_collection_id);
  return seal_record(key, out);
}

Result<StoreState> decode_state(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  StoreState state;
  state.sequence = in.u64();
  state.next_collection_id = in.u32();
  if (!in.finished()) return wrong_layout(key);
  return state;
}

std::string encode_format(std::string_view key, const StoreFormat& format) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(format.format_version));
  out.u64(format.database_id);
  out.string(format.writer);
  out.u64(format.created_seconds);
  return seal_record(key, out);
}

Result<StoreFormat> decode_format(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  StoreFormat format;
  format.format_version = static_cast<int>(in.u32());
  format.database_id = in.u64();
  format.writer = in.string();
  format.created_seconds = in.u64();
  if (!in.finished()) return wrong_layout(key);
  return format;
}

std::string encode_collection(std::string_view key, const CollectionRecord& record) {
  const Collection& collection = record.collection;
  ByteWriter out;
  out.u32(collection.id);
  put_count(out, collection.width);
  out.u8(collection.external ? 1 : 0);
  // A cosine is what version 1 means, so that such collections keep their bytes.
  const bool with_metric = collection.metric != Metric::kCosine;
  if (with_metric) out.u8(static_cast<std::uint8_t>(collection.metric));
  out.string(collection.space);
  out.string(collection.model);
  out.u64(collection.next_row_id);
  put_counts(out, collection);
  put_hash(out, collection.digest);
  out.u64(collection.sequence);
  out.varint(collection.attributes.size());
  for (const auto& [name, text] : collection.attributes) {
    out.string(name);
    out.string(text);
  }
  out.u64(record.journal.first_sequence);
  out.varint(record.journal.entry_count);
  out.varint(record.journal.removed_count);
  return seal_record(key, out, with_metric ? kMetricRecordVersion : kRecordVersion);
}

Result<CollectionRecord> decode_collection(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload,
                          open_record(key, value, kMetricRecordVersion));
  RecordReader in(payload);
  CollectionRecord record;
  Collection& collection = record.collection;
  if (const std::optional<ParsedKey> parsed = parse_key(key)) collection.name = parsed->name;
  collection.id = in.u32();
  collection.width = static_cast<int>(in.count(kMostWidth));
  collection.external = in.flag();
  if (static_cast<std::uint8_t>(value.front()) == kMetricRecordVersion) {
    const std::int64_t metric = in.count(static_cast<std::int64_t>(Metric::kL2));
    in.require(collection.external && metric != static_cast<std::int64_t>(Metric::kCosine));
    collection.metric = static_cast<Metric>(metric);
  }
  collection.space = in.string();
  collection.model = in.string();
  collection.next_row_id = in.u64();
  take_counts(in, collection);
  collection.digest = take_hash(in);
  collection.sequence = in.u64();
  for (std::size_t left = in.elements(2); left > 0 && in.ok(); --left) {
    std::string name = in.string();
    collection.attributes[std::move(name)] = in.string();
  }
  record.journal.first_sequence = in.u64();
  record.journal.entry_count = in.varint();
  record.journal.removed_count = in.varint();
  in.require(collection.id != 0 && collection.next_row_id != 0);
  if (!in.finished()) return wrong_layout(key);
  return record;
}

std::string encode_journal_entry(std::string_view key, const JournalEntry& entry) {
  ByteWriter out;
  out.u64(entry.previous_sequence);
  out.u64(entry.first_new_row_id);
  put_hash(out, entry.digest);
  out.varint(entry.removed_row_ids.size());
  for (const std::uint64_t id : entry.removed_row_ids) out.varint(id);
  return seal_record(key, out);
}

Result<JournalEntry> decode_journal_entry(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  JournalEntry entry;
  if (const std::optional<ParsedKey> parsed = parse_key(key)) entry.sequence = parsed->number;
  entry.previous_sequence = in.u64();
  entry.first_new_row_id = in.u64();
  entry.digest = take_hash(in);
  entry.removed_row_ids.resize(in.elements(1));
  for (std::uint64_t& id : entry.removed_row_ids) id = in.varint();
  in.require(entry.previous_sequence < entry.sequence);
  if (!in.finished()) return wrong_layout(key);
  return entry;
}

std::string encode_document(std::string_view key, const StoredDocument& document) {
  ByteWriter out;
  out.u64(document.first_row_id);
  put_count(out, document.passage_count);
  out.varint(document.split_tokens);
  out.string(document.document.title);
  out.string(document.document.text);
  put_metadata(out, document.document.metadata);
  // Of a text that is its file, byte for byte, there is nothing to say.
  const SourceMap& source = document.document.source;
  if (source.is_identity()) return seal_record(key, out);
  put_source(out, source);
  return seal_record(key, out, kSourceRecordVersion);
}

Result<StoredDocument> decode_document(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload,
                          open_record(key, value, kSourceRecordVersion));
  RecordReader in(payload);
  StoredDocument stored;
  if (const std::optional<ParsedKey> parsed = parse_key(key)) stored.document.key = parsed->name;
  stored.first_row_id = in.u64();
  stored.passage_count = in.count();
  stored.split_tokens =
      static_cast<std::uint32_t>(in.count(std::numeric_limits<std::uint32_t>::max()));
  stored.document.title = in.string();
  stored.document.text = in.string();
  stored.document.metadata = take_metadata(in);
  if (static_cast<std::uint8_t>(value.front()) == kSourceRecordVersion) {
    stored.document.source = take_source(in);
    in.require(!stored.document.source.is_identity());
    in.require(check_source(stored.document.source, stored.document.text).ok());
  }
  in.require(stored.first_row_id != 0 && stored.passage_count > 0);
  if (!in.finished()) return wrong_layout(key);
  return stored;
}

std::string encode_row(std::string_view key, const Row& row) {
  const Passage& passage = row.passage;
  ByteWriter out;
  out.string(row.document_key);
  put_count(out, passage.index);
  put_count(out, passage.bytes.begin);
  put_count(out, passage.bytes.end);
  put_count(out, passage.lines.first);
  put_count(out, passage.lines.last);
  out.string(passage.heading_path);
  put_count(out, passage.token_count);
  out.u8(passage.truncated ? kTruncatedFlag : 0);
  out.u8(static_cast<std::uint8_t>(passage.mode));
  put_hash(out, passage.content);
  out.varint(row.vector.size());
  out.floats(row.vector);
  return seal_record(key, out);
}

Result<Row> decode_row(std::string_view key, std::string_view value, int width) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  RowHead head = take_row_head(in);
  in.require(head.width == width);
  Row row;
  if (in.ok()) {
    row.vector.resize(static_cast<std::size_t>(width));
    in.floats(row.vector);
  }
  if (!in.finished()) return wrong_layout(key);
  if (const std::optional<ParsedKey> parsed = parse_key(key)) row.id = parsed->number;
  row.document_key = head.document_key;
  row.passage = std::move(head.passage);
  row.passage.heading_path = head.heading_path;
  return row;
}

Result<int> decode_row_width(std::string_view key, std::string_view value) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  const int width = take_row_head(in).width;
  in.skip(static_cast<std::size_t>(width) * sizeof(float));
  if (!in.finished() || width == 0) return wrong_layout(key);
  return width;
}

Status decode_row_vector(std::string_view key, std::string_view value, int width,
                         std::span<float> out) {
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, value));
  RecordReader in(payload);
  in.require(take_row_head(in).width == width);
  in.floats(out);
  in.skip((static_cast<std::size_t>(width) - out.size()) * sizeof(float));
  return in.finished() ? Status() : wrong_layout(key);
}

}  // namespace nestor::storage
