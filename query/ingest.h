// Ingest: documents in, one batch for the store out. Checks, cuts into passages, embeds what is
// new, and keeps the vectors of passages that say what others of the collection say. In two steps,
// so that no view of the store is held while text is embedded.
// Threads: free functions.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "nestor/database.h"
#include "query/seen_documents.h"
#include "query/text_encoder.h"
#include "storage/document_store.h"

namespace nestor::query {

// A passage whose vector is still to be made, and where it goes.
struct PendingPassage {
  std::size_t write = 0;  // in PreparedBatch::batch.writes
  std::size_t row = 0;    // of the write
  std::string title_slot;
  std::vector<std::pair<std::size_t, std::size_t>> twins = {};  // write and row of equal passages
};

struct PreparedBatch {
  storage::Batch batch;
  AddReport report;
  // What the collection has to be made as, when it is not there yet.
  bool collection_missing = false;
  bool external = false;
  SeenDocuments seen;                   // what it was prepared from
  std::vector<PendingPassage> pending;  // to be embedded
  EncoderPointer encoder;               // null where every vector is the caller's
};

// What was embedded for a batch, by what it was embedded from, so that a batch that has to be
// prepared again embeds nothing twice.
class EmbeddedPassages {
 public:
  // Null where it was not embedded.
  [[nodiscard]] const Embedding* find(std::string_view title_slot, std::string_view text) const;
  void put(std::string_view title_slot, std::string_view text, const Embedding& embedding);

 private:
  // By text, then by title slot; found by views, without a copy.
  std::map<std::string, std::map<std::string, Embedding, std::less<>>, std::less<>> of_text_;
};

// Hands out the encoder, loading it at the first call. Errors: kModelMissing and its like.
using EncoderGetter = std::function<Result<EncoderPointer>()>;

// The first step: all that has to be read. Errors: kInvalidArgument, kModelMissing, kModelMismatch,
// kCancelled, those of reading the store. Cost: tokenising all text once or twice.
Result<PreparedBatch> read_batch(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view,
                                 const std::optional<storage::Collection>& collection,
                                 std::span<const Document> documents, const AddOptions& options,
                                 const EncoderGetter& encoder);
// The second one: embeds what is pending. `embedded` (may be null) hands out what an earlier try of
// the same call embedded, and gets what this one embeds. Errors: those of the encoder, kCancelled.
Status embed_batch(const AddOptions& options, EmbeddedPassages* embedded, PreparedBatch& prepared);

// Of what a passage was embedded from; passages of one hash share their vector. STORED.
Hash128 content_hash(std::string_view title_slot, std::string_view text);

// How the model's vectors come to be, as rows have it on record.
storage::NumericMode numeric_mode_of(const ModelInfo& model);

// kModelMismatch with both names where the collection's space is not the encoder's.
Status check_space(const storage::Collection& collection, const ModelInfo& model);

}  // namespace nestor::query
