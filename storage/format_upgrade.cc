#include "storage/format_upgrade.h"

#include <fmt/format.h>
#include <rocksdb/write_batch.h>

#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "storage/content_index.h"
#include "storage/document_store.h"
#include "storage/field_index.h"
#include "storage/key_schema.h"
#include "storage/record_source.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{4} << 20;

class Upgrade {
 public:
  Upgrade(const std::string& path, rocksdb::DB& db, const FreeBytesFunction& free_bytes)
      : path_(path), db_(db), free_bytes_(free_bytes), source_(db, nullptr) {}

  [[nodiscard]] const RecordSource& source() const { return source_; }

  // Writes what has gathered, and begins anew.
  Status flush(bool sync) {
    fields_.write_to(batch_);
    NESTOR_RETURN_IF_ERROR(check_free_space(
        free_bytes_, path_, static_cast<std::int64_t>(batch_.GetDataSize()),
        "the indexes of the new format need room; make some, or open it read-only"));
    rocksdb::WriteOptions options;
    options.sync = sync;
    NESTOR_RETURN_IF_ERROR(status_from_rocksdb(db_.Write(options, &batch_),
                                               "bring " + path_ + " to the present format"));
    batch_.Clear();
    return {};
  }

  Status make_field_index(const Collection& collection) {
    // What an opener that died left behind.
    const std::string prefix = key_prefix(KeyTag::kField, collection.id);
    NESTOR_RETURN_IF_ERROR(
        status_from_rocksdb(batch_.DeleteRange(prefix, prefix_end(prefix)), "begin a field index"));
    NESTOR_RETURN_IF_ERROR(flush(false));
    const std::string documents = key_prefix(KeyTag::kDocument, collection.id);
    NESTOR_RETURN_IF_ERROR(
        source_
            .scan(documents, prefix_end(documents),
                  [&](std::string_view key, std::string_view value) -> Result<bool> {
                    NESTOR_ASSIGN_OR_RETURN(const StoredDocument document,
                                            decode_document(key, value));
                    fields_.put(collection.id, document);
                    const Status written = fields_.bytes() > kBatchBytes ? flush(false) : Status();
                    if (!written.ok()) return written;
                    return true;
                  })
            .with_context("collection '" + collection.name + "'"));
    put_field_marker(collection.id, batch_);
    return flush(true);
  }

  // From where an opener that died came to: nothing was written to the rows since.
  Status make_content_index(const Collection& collection, std::uint64_t next_row_id) {
    if (next_row_id == 0) {
      const std::string prefix = key_prefix(KeyTag::kContent, collection.id);
      NESTOR_RETURN_IF_ERROR(status_from_rocksdb(batch_.DeleteRange(prefix, prefix_end(prefix)),
                                                 "begin a content index"));
      NESTOR_RETURN_IF_ERROR(flush(false));
    }
    const std::string rows = key_prefix(KeyTag::kRow, collection.id);
    NESTOR_RETURN_IF_ERROR(
        source_
            .scan(row_key(collection.id, next_row_id), prefix_end(rows),
                  [&](std::string_view key, std::string_view value) -> Result<bool> {
                    const Result<Row> row = decode_row(key, value, collection.width);
                    // A damaged one is for verify and repair; nothing is taken from it meanwhile.
                    if (row.status().code() == StatusCode::kDataLoss) return true;
                    if (!row.ok()) return row.status();
                    put_content(collection.id, row.value(), batch_);
                    if (batch_.GetDataSize() < kBatchBytes) return true;
                    put_content_marker(collection.id, {false, row.value().id + 1}, batch_);
                    const Status written = flush(false);
                    if (!written.ok()) return written;
                    return true;
                  })
            .with_context("collection '" + collection.name + "'"));
    put_content_marker(collection.id, {.complete = true}, batch_);
    return flush(true);
  }

  Status write_format(StoreFormat format) {
    format.format_version = kFormatVersion;
    const std::string key = meta_key(kFormatName);
    batch_.Put(key, encode_format(key, format));
    return flush(true);
  }

 private:
  const std::string& path_;
  rocksdb::DB& db_;
  const FreeBytesFunction& free_bytes_;
  const RecordSource source_;
  rocksdb::WriteBatch batch_;
  FieldChanges fields_;
};

}  // namespace

Status upgrade_format(const std::string& path, rocksdb::DB& db, Manifest manifest,
                      const FreeBytesFunction& free_bytes, const LogCallback& log) {
  Upgrade upgrade(path, db, free_bytes);
  if (manifest.format_version < kFormatVersion) {
    log_to(log, LogLevel::kInfo,
           fmt::format("{} has format {}; it is brought to {}, which older programs do not open",
                       path, manifest.format_version, kFormatVersion));
    NESTOR_RETURN_IF_ERROR(
        check_free_space(free_bytes, path, 0, "make room, or open the database read-only"));
    manifest.format_version = kFormatVersion;
    NESTOR_RETURN_IF_ERROR(write_manifest(path, manifest));
  }
  NESTOR_ASSIGN_OR_RETURN(const StoreFormat format, upgrade.source().format());
  if (format.format_version < kFormatVersion) NESTOR_RETURN_IF_ERROR(upgrade.write_format(format));
  NESTOR_ASSIGN_OR_RETURN(const std::vector<CollectionRecord> records,
                          upgrade.source().collections());
  for (const CollectionRecord& record : records) {
    NESTOR_ASSIGN_OR_RETURN(const bool complete,
                            is_field_index_complete(upgrade.source(), record.collection.id));
    if (!complete) NESTOR_RETURN_IF_ERROR(upgrade.make_field_index(record.collection));
    NESTOR_ASSIGN_OR_RETURN(const auto contents,
                            read_content_marker(upgrade.source(), record.collection.id));
    if (contents.has_value() && contents->complete) continue;
    NESTOR_RETURN_IF_ERROR(upgrade.make_content_index(
        record.collection, contents.has_value() ? contents->next_row_id : 0));
  }
  return {};
}

}  // namespace nestor::storage
