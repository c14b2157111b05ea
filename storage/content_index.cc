#include "storage/content_index.h"

#include "core/bytes.h"
#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

std::string marker_key(std::uint32_t collection) {
  return key_prefix(KeyTag::kContent, collection);
}

}  // namespace

bool has_content_record(NumericMode mode) { return mode != NumericMode::kExternal; }

std::string content_bytes(const Hash128& content, NumericMode mode) {
  ByteWriter out;
  out.u64(content.low);
  out.u64(content.high);
  out.u8(static_cast<std::uint8_t>(mode));
  return out.take();
}

std::string content_key_of(std::uint32_t collection, const Row& row) {
  return content_key(collection, content_bytes(row.passage.content, row.passage.mode), row.id);
}

void put_content(std::uint32_t collection, const Row& row, rocksdb::WriteBatch& batch) {
  if (!has_content_record(row.passage.mode)) return;
  const std::string key = content_key_of(collection, row);
  batch.Put(key, seal_record(key, ByteWriter()));
}

void remove_content(std::uint32_t collection, const Row& row, rocksdb::WriteBatch& batch) {
  if (has_content_record(row.passage.mode)) batch.Delete(content_key_of(collection, row));
}

void put_content_marker(std::uint32_t collection, const ContentMarker& marker,
                        rocksdb::WriteBatch& batch) {
  const std::string key = marker_key(collection);
  ByteWriter out;
  out.u8(marker.complete ? 1 : 0);
  if (!marker.complete) out.u64(marker.next_row_id);
  batch.Put(key, seal_record(key, out));
}

Result<std::optional<ContentMarker>> read_content_marker(const RecordSource& source,
                                                         std::uint32_t collection) {
  const std::string key = marker_key(collection);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source.get(key));
  if (!value) return std::optional<ContentMarker>();
  NESTOR_ASSIGN_OR_RETURN(const std::string_view payload, open_record(key, *value));
  RecordReader in(payload);
  ContentMarker marker;
  marker.complete = in.flag();
  if (!marker.complete) marker.next_row_id = in.u64();
  if (!in.finished()) return damaged_record(key, "the checksum is right, the fields are not");
  return std::optional<ContentMarker>(marker);
}

Result<std::vector<std::uint64_t>> rows_of_content(const RecordSource& source,
                                                   std::uint32_t collection,
                                                   std::string_view content, std::size_t limit) {
  std::vector<std::uint64_t> ids;
  const std::string prefix = key_prefix(KeyTag::kContent, collection).append(content);
  NESTOR_RETURN_IF_ERROR(
      source.scan(prefix, prefix_end(prefix),
                  [&](std::string_view key, std::string_view value) -> Result<bool> {
                    const Result<std::string_view> payload = open_record(key, value);
                    if (!payload.ok()) return payload.status();
                    const std::optional<ParsedKey> parsed = parse_key(key);
                    if (!parsed || parsed->name.empty())
                      return damaged_record(key, "its key names no row");
                    ids.push_back(parsed->number);
                    return ids.size() < limit;
                  }));
  return ids;
}

}  // namespace nestor::storage
