// SeenDocuments: what a batch was prepared from, so that it can be checked again when its turn to
// be committed comes. No view of the store is held in between, however long the embedding takes.
// Threads: values; the free function as the store's reads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/document_store.h"

namespace nestor::query {

struct DocumentStamp {
  bool there = false;
  bool damaged = false;  // it is replaced whatever it holds
  std::uint64_t first_row_id = 0;
  Hash128 metadata = {};
  bool operator==(const DocumentStamp&) const = default;
};

struct SeenDocuments {
  std::optional<storage::Collection> collection;  // none: it was not there
  std::map<std::string, DocumentStamp> documents;

  // Notes what a lookup of `key` gave. Errors: those of the lookup but kDataLoss, which is damage.
  Status note(const std::string& key, const Result<std::optional<storage::StoredDocument>>& found);
};

// Whether the collection and all of the documents are in `view` as they were seen. Errors: those of
// reading the store.
Result<bool> still_as_seen(const storage::DocumentStore& store,
                           const storage::DocumentStore::View& view, const std::string& collection,
                           const SeenDocuments& seen);

}  // namespace nestor::query
