#include "query/seen_documents.h"

#include "core/macros.h"
#include "storage/metadata_codec.h"

namespace nestor::query {
namespace {

Result<DocumentStamp> stamp_of(const Result<std::optional<storage::StoredDocument>>& found) {
  if (found.status().code() == StatusCode::kDataLoss) return DocumentStamp{.damaged = true};
  NESTOR_RETURN_IF_ERROR(found.status());
  if (!found.value().has_value()) return DocumentStamp();
  const storage::StoredDocument& stored = *found.value();
  // Text and rows are written together, under new row ids; metadata alone may change under old
  // ones.
  return DocumentStamp{.there = true,
                       .first_row_id = stored.first_row_id,
                       .metadata = hash128(metadata_to_json(stored.document.metadata))};
}

}  // namespace

Status SeenDocuments::note(const std::string& key,
                           const Result<std::optional<storage::StoredDocument>>& found) {
  NESTOR_ASSIGN_OR_RETURN(documents[key], stamp_of(found));
  return {};
}

Result<bool> still_as_seen(const storage::DocumentStore& store,
                           const storage::DocumentStore::View& view, const std::string& collection,
                           const SeenDocuments& seen) {
  NESTOR_ASSIGN_OR_RETURN(const auto now, store.find_collection(view, collection));
  const auto& before = seen.collection;
  if (!before.has_value() || !now.has_value()) return before.has_value() == now.has_value();
  if (before->id != now->id || before->width != now->width || before->space != now->space ||
      before->attributes != now->attributes) {
    return false;
  }
  if (before->sequence == now->sequence) return true;
  for (const auto& [key, stamp] : seen.documents) {
    NESTOR_ASSIGN_OR_RETURN(const DocumentStamp current,
                            stamp_of(store.find_document(view, now->id, key)));
    if (current != stamp) return false;
  }
  return true;
}

}  // namespace nestor::query
