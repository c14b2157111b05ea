#include "storage/recount.h"

#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/record_codec.h"
#include "storage/record_digest.h"

namespace nestor::storage {

void count_document(Collection& found, std::string_view key, std::string_view value,
                    const StoredDocument* document) {
  add_to_digest(found.digest, key, value);
  ++found.documents;
  if (document != nullptr) {
    found.text_bytes += static_cast<std::int64_t>(document->document.text.size());
  }
}

void count_row(Collection& found, std::string_view key, std::string_view value, const Row* row) {
  add_to_digest(found.digest, key, value);
  ++found.passages;
  if (row == nullptr) return;
  ++found.rows_by_mode[static_cast<std::uint8_t>(row->passage.mode)];
  if (row->passage.truncated) ++found.truncated_passages;
}

Result<Collection> recount(const RecordSource& source, const Collection& collection) {
  Collection found;
  const std::string documents = key_prefix(KeyTag::kDocument, collection.id);
  NESTOR_RETURN_IF_ERROR(
      source.scan(documents, prefix_end(documents),
                  [&](std::string_view key, std::string_view value) -> Result<bool> {
                    const Result<StoredDocument> document = decode_document(key, value);
                    count_document(found, key, value, document.ok() ? &document.value() : nullptr);
                    return true;
                  }));
  const std::string rows = key_prefix(KeyTag::kRow, collection.id);
  NESTOR_RETURN_IF_ERROR(source.scan(
      rows, prefix_end(rows), [&](std::string_view key, std::string_view value) -> Result<bool> {
        const Result<Row> row = decode_row(key, value, collection.width);
        count_row(found, key, value, row.ok() ? &row.value() : nullptr);
        return true;
      }));
  return found;
}

void move_counts(Collection& collection, const Collection& found, const Collection& stated) {
  collection.documents += found.documents - stated.documents;
  collection.passages += found.passages - stated.passages;
  collection.text_bytes += found.text_bytes - stated.text_bytes;
  collection.truncated_passages += found.truncated_passages - stated.truncated_passages;
  for (const auto& [mode, rows] : found.rows_by_mode) collection.rows_by_mode[mode] += rows;
  for (const auto& [mode, rows] : stated.rows_by_mode) collection.rows_by_mode[mode] -= rows;
  std::erase_if(collection.rows_by_mode, [](const auto& entry) { return entry.second == 0; });
  collection.digest = moved_digest(collection.digest, found.digest, stated.digest);
}

}  // namespace nestor::storage
