// Renewal: the embeddings of a collection made anew by another model, into its shadow
// (storage/shadow_collection.h), until the shadow says what the collection says. What earlier calls
// did is found in the shadow and kept. And the same for rows of another numeric mode, in place.
// Threads: one; commits are handed to the caller, who knows the locks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "nestor/reembed.h"
#include "query/ingest.h"
#include "query/text_encoder.h"
#include "storage/document_store.h"

namespace nestor::query {

// Commits a batch under the writers' lock.
using RenewalCommit = std::function<Result<storage::Commit>(const storage::Batch&)>;

class Renewal {
 public:
  // The collection has its shadow. All must outlive the renewal; what is done goes into `report`.
  Renewal(const storage::DocumentStore& store, std::string collection, TextEncoder const& encoder,
          const ReembedOptions& options, RenewalCommit commit, ReembedReport& report);

  // Once through the collection as it is at the beginning: what the shadow lacks is embedded, what
  // it has too much goes. Returns the documents written or removed. Errors: kCancelled, those of
  // prepare_batch and of commits; what is committed stays.
  Result<std::int64_t> pass();
  // Of the collection, at the beginning of the last pass that came to its end: the shadow is level
  // with it. 0: none did.
  [[nodiscard]] std::uint64_t level_sequence() const { return level_sequence_; }

 private:
  struct Pass;
  Status gather(Pass& pass, bool& more) const;
  Result<std::int64_t> write(Pass& pass);
  Result<std::int64_t> remove_surplus(const Pass& pass);
  ProgressCallback progress_of(const storage::Collection& collection,
                               const storage::Collection& shadow) const;

  const storage::DocumentStore& store_;
  const std::string collection_;
  const TextEncoder& encoder_;
  const ReembedOptions& options_;
  const RenewalCommit commit_;
  ReembedReport& report_;
  std::uint64_t level_sequence_ = 0;
};

// Documents of `collection` after the key `after`, which becomes the last one looked at, whose rows
// are of another numeric mode than the encoder's: one batch for the collection itself, to be
// embedded yet; empty at the end. User vectors stay. Errors: as read_batch. Cost: reads the rows it
// passes.
Result<PreparedBatch> other_modes_batch(const storage::DocumentStore& store,
                                        const storage::DocumentStore::View& view,
                                        const storage::Collection& collection,
                                        const EncoderPointer& encoder,
                                        const ReembedOptions& options, std::string& after,
                                        const ReembedReport& report);
// Embeds it; what that took goes into `report`. Errors: as embed_batch.
Status embed_other_modes(const storage::Collection& collection, const ReembedOptions& options,
                         PreparedBatch& prepared, ReembedReport& report);
// Rows of another numeric mode than the model's, brought vectors aside.
std::int64_t rows_of_other_modes(const storage::Collection& collection, const ModelInfo& model);

}  // namespace nestor::query
