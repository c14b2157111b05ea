// Writer: every change of the database. Text is embedded and batches are prepared outside all
// locks; what was read for it is then checked again, the change is written, and the next state,
// which was made before the write, is published. So nothing that can fail lies between a durable
// commit and its publication.
//
// Threads: safe anywhere. Changes are applied one at a time, under DatabaseContext::commit; no
// callback of the caller's runs under it.
#pragma once

#include <condition_variable>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/database_context.h"
#include "query/document_query.h"
#include "query/index_manager.h"
#include "query/ingest.h"
#include "query/portable_document.h"
#include "query/renewal.h"

namespace nestor::query {

class Writer {
 public:
  Writer(DatabaseContext& context, IndexManager& indexes)
      : context_(context), store_(*context.store), indexes_(indexes) {}

  // As Database has them.
  Result<bool> create_collection(const storage::CollectionDescriptor& wanted);
  Status set_attribute(const std::string& collection, const std::string& name,
                       const std::string& value);
  Result<AddReport> add(std::span<const Document> documents, const AddOptions& options);
  Result<std::int64_t> remove(std::span<const std::string> keys, const RemoveOptions& options);
  Result<std::int64_t> remove_matching(const Filter& filter, const RemoveOptions& options);
  Result<std::int64_t> remove_expired(const RemoveOptions& options);
  Result<std::int64_t> change_metadata(const std::vector<MetadataChange>& changes,
                                       const std::string& collection);
  Result<CompactReport> compact();
  Result<ReembedReport> reembed(const ReembedOptions& options);
  Result<ImportReport> import_documents(const LineSource& next, const ImportOptions& options);
  // Of a reader.
  Result<RefreshReport> refresh();

  // Postings of every collection that lacks them: of an older format, or left unfinished.
  Status complete_postings();
  // Collections written to since open. REQUIRES: nothing else runs.
  [[nodiscard]] const std::set<std::string>& changed() const { return changed_; }

 private:
  // With the commit mutex held, in all of these -------------------------------------------------

  // Prepares, writes and publishes. Errors: those of the store's prepare and apply; then nothing
  // is changed, or the store takes no further changes.
  Result<storage::Commit> commit(const storage::Batch& batch);
  // The same for a change that is prepared already. `batch`: what it is of, or null.
  Result<storage::Commit> apply(Result<storage::DocumentStore::PreparedPointer> prepared,
                                const std::string& collection,
                                const storage::Batch* batch = nullptr);
  // The state that the change leads to.
  Result<StatePointer> next_state(const DatabaseState& now, const storage::Commit& commit,
                                  const storage::DocumentStore::ViewPointer& view,
                                  const std::string& collection, const storage::Batch* batch) const;
  // What was removed is not kept in the staging collection of a reembed until its next pass either.
  void remove_from_shadow(const storage::Commit& commit, const storage::Batch& batch);
  Status build_postings(const storage::Collection& collection);
  // The staging collection is there, and its words are of the collection's language.
  Status prepare_shadow(const std::string& name);
  Status swap_to_shadow(const storage::Collection& old, IndexSlot& slot);
  // Publishes a state without `entry`, whose files no search of an older state writes again.
  // REQUIRES: the slot's `files` held too.
  void retire(const storage::Collection& collection, IndexSlot& slot);

  // Without ---------------------------------------------------------------------------------------

  // Holds other changes out. Waits while `collection` is paused.
  std::unique_lock<std::mutex> lock(const std::string& collection);
  // kFailedPrecondition for a reader: "… nothing can be <done>".
  Status check_writable(const char* done) const;
  // Keys that are there and are not written in the same batch: of both, the document stays.
  Status add_removals(std::span<const std::string> keys, const storage::DocumentStore::View& seen,
                      const std::optional<storage::Collection>& collection,
                      storage::Batch& batch) const;
  Status check_room(const storage::Batch& batch,
                    const std::optional<storage::Collection>& collection, bool external);
  CommitFunction commit_function(const std::string& collection);
  // `removed`, once what it removed is erased too where the options ask for it.
  Result<std::int64_t> and_erased(Result<std::int64_t> removed, const RemoveOptions& options);
  Status erase_removed(const std::string& collection);

  // writer_transfer.cc: the collection of an import, made where it is not there; true where the
  // vectors may be taken.
  // Whether the vectors of an export are taken into `collection` (none: a new one) as they are;
  // why not goes into `note`.
  Result<bool> takes_vectors(const PortableHeader& header,
                             const std::optional<storage::Collection>& collection,
                             const ImportOptions& options, std::string& note);
  Result<bool> settle_import(PortableHeader& header, const ImportOptions& options,
                             ImportReport& report);
  // Documents with their passages and vectors as they are, in one batch; those that are there and
  // equal are passed over. The collection is there. Counts go into `report`.
  Status import_batch(const PortableHeader& header, const std::string& collection,
                      const std::vector<storage::DocumentWrite>& writes, ImportReport& report);
  Result<CollectionStatePointer> refreshed(const storage::DocumentStore::ViewPointer& view,
                                           const std::string& name, const CollectionState& before);

  // writer_reembed.cc
  Status discard_shadow(const storage::Collection& collection, ReembedReport& report);
  Status reembed_in_shadow(const storage::Collection& old, const TextEncoder& model,
                           const ReembedOptions& options, ReembedReport& report);
  Result<bool> try_swap(const storage::Collection& old, const Renewal& renewal);
  Status reembed_modes(const std::string& name, const EncoderPointer& model,
                       const ReembedOptions& options, ReembedReport& report);

  DatabaseContext& context_;
  storage::DocumentStore& store_;
  IndexManager& indexes_;
  std::set<std::string> changed_;     // guarded by the commit mutex
  std::string paused_;                // a collection that takes no changes; the same
  std::condition_variable unpaused_;  // of the commit mutex
};

}  // namespace nestor::query
