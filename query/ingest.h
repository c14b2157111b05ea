// Ingest: documents in, one batch for the store out. Checks, cuts into passages, embeds what is
// new, and keeps the vectors of passages that say what others of the collection say. Threads: free
// function; the view it reads stays as it is meanwhile.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "nestor/database.h"
#include "query/text_encoder.h"
#include "storage/document_store.h"

namespace nestor::query {

struct PreparedBatch {
  storage::Batch batch;
  AddReport report;
  // What the collection has to be made as, when it is not there yet.
  bool collection_missing = false;
  bool external = false;
};

// Hands out the encoder, loading it at the first call. Errors: kModelMissing and its like.
using EncoderGetter = std::function<Result<EncoderPointer>()>;

// Errors: kInvalidArgument, kModelMissing, kModelMismatch, kCancelled, those of reading the store.
// Cost: tokenising all text once or twice, embedding what is new.
Result<PreparedBatch> prepare_batch(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const std::optional<storage::Collection>& collection,
                                    std::span<const Document> documents, const AddOptions& options,
                                    const EncoderGetter& encoder);

// Of what a passage was embedded from; passages of one hash share their vector. STORED.
Hash128 content_hash(std::string_view title_slot, std::string_view text);

// How the model's vectors come to be, as rows have it on record.
storage::NumericMode numeric_mode_of(const ModelInfo& model);

// kModelMismatch with both names where the collection's space is not the encoder's.
Status check_space(const storage::Collection& collection, const ModelInfo& model);

}  // namespace nestor::query
