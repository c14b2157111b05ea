#include "storage/field_verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "core/text.h"
#include "storage/field_codec.h"
#include "storage/field_index.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

std::string field_in(std::string_view key) {
  return quote_for_message(name_in_field_key(key).value_or("?"));
}

// The document that a row belongs to, or none: damage is reported where the records come by.
Result<std::optional<StoredDocument>> document_of_row(const RecordSource& source,
                                                      const Collection& collection,
                                                      std::uint64_t row_id) {
  const std::string row = row_key(collection.id, row_id);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source.get(row));
  if (!value) return std::optional<StoredDocument>();
  const Result<Row> decoded = decode_row(row, *value, collection.width);
  if (!decoded.ok()) return std::optional<StoredDocument>();
  const std::string key = document_key(collection.id, decoded.value().document_key);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> document, source.get(key));
  if (!document) return std::optional<StoredDocument>();
  Result<StoredDocument> stored = decode_document(key, *document);
  if (!stored.ok()) return std::optional<StoredDocument>();
  return std::optional<StoredDocument>(std::move(stored).value());
}

}  // namespace

void FieldVerifier::on_document(std::uint32_t collection, const StoredDocument& document) {
  for (const auto& [key, value] : field_entries(collection, document)) {
    add_to_digest(expected_, key, value);
  }
}

Status FieldVerifier::on_entry(std::string_view key, std::string_view value) {
  const std::optional<ParsedKey> parsed = parse_key(key);
  const bool marker = parsed && parsed->name.empty();
  if (!marker) add_to_digest(found_, key, value);
  complete_ = complete_ || marker;
  return open_record(key, value).status();
}

Status FieldVerifier::finish(const RecordSource& source, const Collection& collection,
                             const IndexSink& sink) const {
  if (!complete_) {
    sink.note(
        fmt::format("collection '{}' has no field index yet: filters read the documents "
                    "until the database is opened for writing",
                    collection.name));
    return {};
  }
  if (expected_ == found_) return {};
  NESTOR_RETURN_IF_ERROR(find_missing(source, collection, sink));
  return find_foreign(source, collection, sink);
}

Status FieldVerifier::find_missing(const RecordSource& source, const Collection& collection,
                                   const IndexSink& sink) const {
  const std::string prefix = key_prefix(KeyTag::kDocument, collection.id);
  return source.scan(
      prefix, prefix_end(prefix),
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const Result<StoredDocument> document = decode_document(key, value);
        if (!document.ok()) return true;  // reported when it came by
        for (const auto& [entry, expected] : field_entries(collection.id, document.value())) {
          NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> found, source.get(entry));
          if (found == expected) continue;
          sink.problem(
              fmt::format("collection '{}', document {}: its entry for field {} is {} the "
                          "field index",
                          collection.name, quote_for_message(document.value().document.key),
                          field_in(entry), found ? "another in" : "missing from"));
        }
        return true;
      });
}

Status FieldVerifier::find_foreign(const RecordSource& source, const Collection& collection,
                                   const IndexSink& sink) const {
  const std::string prefix = key_prefix(KeyTag::kField, collection.id);
  return source.scan(
      prefix + '\0', prefix_end(prefix),
      [&](std::string_view key, std::string_view) -> Result<bool> {
        FieldEntry entry;
        std::optional<StoredDocument> document;
        if (parse_field_key(key, entry)) {
          NESTOR_ASSIGN_OR_RETURN(document,
                                  document_of_row(source, collection, entry.first_row_id));
        }
        const auto entries = document ? field_entries(collection.id, *document)
                                      : std::vector<std::pair<std::string, std::string>>();
        const bool known = std::any_of(entries.begin(), entries.end(),
                                       [&](const auto& own) { return own.first == key; });
        if (!known) {
          sink.problem(
              fmt::format("collection '{}': the field index has an entry for field {} of "
                          "row {}, and no document has that value there",
                          collection.name, field_in(key), entry.first_row_id));
        }
        return true;
      });
}

}  // namespace nestor::storage
