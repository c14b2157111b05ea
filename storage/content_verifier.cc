#include "storage/content_verifier.h"

#include <fmt/format.h>

#include <optional>

#include "core/macros.h"
#include "core/text.h"
#include "storage/content_index.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"

namespace nestor::storage {

void ContentVerifier::on_row(std::uint32_t collection, const Row& row) {
  if (!has_content_record(row.passage.mode)) return;
  add_to_digest(expected_, content_key_of(collection, row), "");
}

Status ContentVerifier::on_entry(std::string_view key, std::string_view value) {
  const std::optional<ParsedKey> parsed = parse_key(key);
  const Result<std::string_view> payload = open_record(key, value);
  damaged_ = damaged_ || !payload.ok();
  if (parsed && parsed->name.empty()) {
    complete_ = payload.ok() && !payload.value().empty() && payload.value().front() == '\x01';
  } else {
    add_to_digest(found_, key, "");
  }
  return payload.status();
}

Status ContentVerifier::finish(const RecordSource& source, const Collection& collection,
                               const IndexSink& sink) const {
  if (!complete_) {
    // Damage of the marker was told when it came by.
    if (damaged_) return {};
    sink.note(
        fmt::format("collection '{}' has no content index yet: it is made when the database "
                    "is opened for writing",
                    collection.name));
    return {};
  }
  if (expected_ == found_) return {};
  NESTOR_RETURN_IF_ERROR(find_missing(source, collection, sink));
  return find_foreign(source, collection, sink);
}

Status ContentVerifier::find_missing(const RecordSource& source, const Collection& collection,
                                     const IndexSink& sink) const {
  const std::string prefix = key_prefix(KeyTag::kRow, collection.id);
  return source.scan(
      prefix, prefix_end(prefix),
      [&](std::string_view key, std::string_view value) -> Result<bool> {
        const Result<Row> row = decode_row(key, value, collection.width);
        if (!row.ok() || !has_content_record(row.value().passage.mode)) return true;
        NESTOR_ASSIGN_OR_RETURN(const auto found,
                                source.get(content_key_of(collection.id, row.value())));
        if (!found) {
          sink.problem(fmt::format(
              "collection '{}', row {} of document {}: it is missing from the "
              "content index",
              collection.name, row.value().id, quote_for_message(row.value().document_key)));
        }
        return true;
      });
}

Status ContentVerifier::find_foreign(const RecordSource& source, const Collection& collection,
                                     const IndexSink& sink) const {
  const std::string prefix = key_prefix(KeyTag::kContent, collection.id);
  return source.scan(
      prefix + '\0', prefix_end(prefix),
      [&](std::string_view key, std::string_view) -> Result<bool> {
        const std::optional<ParsedKey> parsed = parse_key(key);
        if (!parsed) return true;  // told when it came by
        const std::string row = row_key(collection.id, parsed->number);
        NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source.get(row));
        const Result<Row> decoded = value ? decode_row(row, *value, collection.width)
                                          : Result<Row>(Status(StatusCode::kNotFound, "no row"));
        if (decoded.ok() && has_content_record(decoded.value().passage.mode) &&
            content_key_of(collection.id, decoded.value()) == key) {
          return true;
        }
        sink.problem(fmt::format("collection '{}': the content index names row {}, which {}",
                                 collection.name, parsed->number,
                                 value ? "has another content" : "is not there"));
        return true;
      });
}

}  // namespace nestor::storage
