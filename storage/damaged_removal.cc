#include "storage/damaged_removal.h"

#include <fmt/format.h>

#include "core/macros.h"
#include "core/text.h"
#include "storage/field_codec.h"
#include "storage/key_schema.h"
#include "storage/record_codec.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"
#include "storage/recount.h"

namespace nestor::storage {

Status DamagedRemoval::take_away(const std::string& key, const std::string& value,
                                 TermWriter& terms, Collection& collection,
                                 rocksdb::WriteBatch& batch,
                                 std::vector<std::uint64_t>& removed_row_ids) {
  NESTOR_RETURN_IF_ERROR(settle(terms, collection));
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Extent> extent, extent_of(key, value));
  std::set<std::uint64_t> firsts;  // row ids that name the document in derived records
  if (extent) firsts.insert(extent->first_row_id);
  const std::size_t removed_before = removed_row_ids.size();
  NESTOR_RETURN_IF_ERROR(take_rows(key, extent, collection, batch, removed_row_ids, firsts));
  NESTOR_RETURN_IF_ERROR(take_contents(
      std::set<std::uint64_t>(removed_row_ids.begin() + static_cast<std::ptrdiff_t>(removed_before),
                              removed_row_ids.end()),
      extent, batch));
  NESTOR_RETURN_IF_ERROR(terms.take_away_damaged(firsts, batch));
  const std::string fields = key_prefix(KeyTag::kField, stated_.id);
  NESTOR_RETURN_IF_ERROR(
      source_.scan(fields + '\0', prefix_end(fields),
                   [&](std::string_view entry_key, std::string_view) -> Result<bool> {
                     FieldEntry entry;
                     if (parse_field_key(entry_key, entry) && firsts.contains(entry.first_row_id)) {
                       batch.Delete(std::string(entry_key));
                     }
                     return true;
                   }));
  const std::string record_key = document_key(stated_.id, key);
  const Result<StoredDocument> document = decode_document(record_key, value);
  if (document.ok()) {
    collection.text_bytes -= static_cast<std::int64_t>(document.value().document.text.size());
  }
  take_from_digest(collection.digest, record_key, value);
  --collection.documents;
  batch.Delete(record_key);
  return {};
}

// Once a batch: what the collection's record says is moved to what is there, damaged bytes
// included, so that taking them off leaves the sum of the rest.
Status DamagedRemoval::settle(TermWriter& terms, Collection& collection) {
  if (settled_) return {};
  NESTOR_ASSIGN_OR_RETURN(const Collection found, recount(source_, stated_));
  if (found.documents != stated_.documents) {
    return {StatusCode::kDataLoss,
            fmt::format("{} documents are there, {} are on record; run `nestor repair` on the "
                        "database first",
                        with_thousands(found.documents), with_thousands(stated_.documents))};
  }
  NESTOR_RETURN_IF_ERROR(terms.settle());
  move_counts(collection, found, stated_);
  settled_ = true;
  return {};
}

Result<std::optional<DamagedRemoval::Extent>> DamagedRemoval::extent_of(
    const std::string& key, const std::string& value) const {
  const Result<StoredDocument> document = decode_document(document_key(stated_.id, key), value);
  if (document.ok()) {
    return std::optional<Extent>({document.value().first_row_id,
                                  static_cast<std::uint64_t>(document.value().passage_count)});
  }
  std::string prefix = kind_prefix({stated_.id, true, "key"}, FieldKind::kString, false);
  append_string(prefix, key);
  std::optional<Extent> extent;
  NESTOR_RETURN_IF_ERROR(source_.scan(
      prefix, prefix_end(prefix),
      [&](std::string_view entry_key, std::string_view entry_value) -> Result<bool> {
        FieldEntry entry;
        const auto payload = open_record(entry_key, entry_value);
        if (!payload.ok() || !parse_field_key(entry_key, entry)) return true;
        extent = Extent{entry.first_row_id,
                        static_cast<std::uint64_t>(RecordReader(payload.value()).count())};
        return false;
      }));
  return extent;
}

Status DamagedRemoval::take_rows(const std::string& key, const std::optional<Extent>& extent,
                                 Collection& collection, rocksdb::WriteBatch& batch,
                                 std::vector<std::uint64_t>& removed_row_ids,
                                 std::set<std::uint64_t>& firsts) {
  const std::string rows = key_prefix(KeyTag::kRow, stated_.id);
  return source_.scan(rows, prefix_end(rows),
                      [&](std::string_view row_key, std::string_view value) -> Result<bool> {
                        const std::optional<ParsedKey> parsed = parse_key(row_key);
                        if (!parsed) return true;
                        const Result<Row> row = decode_row(row_key, value, stated_.width);
                        const bool names_it = row.ok() && row.value().document_key == key;
                        const bool inside =
                            extent && parsed->number - extent->first_row_id < extent->count;
                        if (!names_it && (!inside || row.ok())) return true;
                        take_from_digest(collection.digest, row_key, value);
                        --collection.passages;
                        if (row.ok()) {
                          if (row.value().passage.truncated) --collection.truncated_passages;
                          const auto mode = static_cast<std::uint8_t>(row.value().passage.mode);
                          if (--collection.rows_by_mode[mode] == 0)
                            collection.rows_by_mode.erase(mode);
                          if (row.value().passage.index == 0) firsts.insert(parsed->number);
                        }
                        batch.Delete(std::string(row_key));
                        removed_row_ids.push_back(parsed->number);
                        return true;
                      });
}

// A damaged row does not say what its content was, and one that is gone says nothing.
Status DamagedRemoval::take_contents(const std::set<std::uint64_t>& rows,
                                     const std::optional<Extent>& extent,
                                     rocksdb::WriteBatch& batch) const {
  const std::string contents = key_prefix(KeyTag::kContent, stated_.id);
  return source_.scan(contents + '\0', prefix_end(contents),
                      [&](std::string_view key, std::string_view) -> Result<bool> {
                        const std::optional<ParsedKey> parsed = parse_key(key);
                        const bool inside = parsed && extent &&
                                            parsed->number - extent->first_row_id < extent->count;
                        if (parsed && (inside || rows.contains(parsed->number))) {
                          batch.Delete(std::string(key));
                        }
                        return true;
                      });
}

}  // namespace nestor::storage
