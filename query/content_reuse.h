// Vectors of passages that are in the collection already, under whatever key: a file that was
// renamed, moved or copied is not embedded again. Threads: one, with the view it reads.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/document_store.h"

namespace nestor::query {

class ContentReuse {
 public:
  // All must outlive this.
  ContentReuse(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
               const storage::Collection& collection)
      : store_(store), view_(view), collection_(collection) {}

  // A row of the same title slot and text, embedded in that mode; the texts themselves are
  // compared. Damaged records are passed over. Errors: kIoError.
  // Cost: a seek; where there is one, a row and its document, the last of which is kept.
  Result<std::optional<storage::Row>> find(std::string_view title_slot, std::string_view text,
                                           const Hash128& content, storage::NumericMode mode);

 private:
  Result<bool> says(const storage::Row& row, std::string_view title_slot, std::string_view text);

  const storage::DocumentStore& store_;
  const storage::DocumentStore::View& view_;
  const storage::Collection& collection_;
  std::optional<storage::StoredDocument> last_;  // the passages of one document come in a row
};

}  // namespace nestor::query
