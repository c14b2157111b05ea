// DocumentStore: RocksDB as the single truth. One synced, atomic batch a commit; everything else in
// Nestor can be made again from what is here. Bytes on disk: FORMAT.md.
//
// A change has two steps: prepare_* reads what it replaces and makes everything that is needed for
// it, apply() writes it. So a caller can make its own next state between the two, and nothing that
// can fail is left once the change is on disk.
//
// Threads: one change (prepare, apply, build_postings, refresh) at a time, by the caller's lock;
// everything const is safe beside it and beside itself, and so is compact().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "nestor/maintenance.h"
#include "nestor/options.h"
#include "nestor/status.h"
#include "storage/collection_descriptor.h"
#include "storage/field_range.h"
#include "storage/records.h"

namespace nestor::storage {

// This program's format. STORED. Older ones are read, newer ones refused with both numbers.
inline constexpr int kFormatVersion = 3;

// The least that a store works with: two write buffers of 1 MiB, and as much for blocks.
inline constexpr std::int64_t kLeastStoreBytes = std::int64_t{4} << 20;

struct StoreOptions {
  bool create_if_missing = true;
  bool read_only = false;  // takes no lock, writes nothing in the folder
  LogCallback log = {};
  // What RocksDB may hold in memory, above kLeastStoreBytes: blocks of tables, their indexes and
  // filters, and what is not in tables yet. 0: 64 MiB of blocks, 64 MiB not in tables, and the
  // indexes and filters of all open tables.
  std::int64_t memory_bytes = 0;
  // Bytes still free below a path (negative: unknown); empty: what the file system says. For tests.
  std::function<std::int64_t(const std::string& path)> free_bytes = {};
};

// All documents to be written and keys to be removed, of one collection. A key stands at most once
// in all.
struct Batch {
  std::string collection;  // must exist, unless `create` makes it in the same commit
  std::optional<CollectionDescriptor> create = {};
  // Settled by the first rows of a collection that has none yet; must equal the collection's
  // otherwise.
  int width = 0;
  std::string space;
  std::string model;
  std::string analysis = {};  // what made the terms of the writes; one for the whole collection
  std::vector<DocumentWrite> writes = {};
  std::vector<std::string> removals = {};           // unknown keys are passed over
  std::vector<MetadataWrite> metadata_writes = {};  // as removals
};

struct Commit {
  std::uint64_t sequence = 0;
  std::vector<std::uint64_t> row_ids;          // of all rows of all writes, in order
  std::vector<std::uint64_t> removed_row_ids;  // of what was replaced or removed
  std::int64_t removed_documents = 0;          // by `removals`
  std::int64_t changed_documents = 0;          // by `metadata_writes`
  Collection collection;                       // after the batch
};

// What changed in a collection since an earlier sequence.
struct Changes {
  std::uint64_t first_new_row_id = 0;          // live rows from here on are new
  std::vector<std::uint64_t> removed_row_ids;  // may name rows that came and went in between
};

// The terms of a document's passages, one entry a row.
using TermMaker = std::function<Result<std::vector<RowTerms>>(const StoredDocument& document,
                                                              std::span<const Row> rows)>;

class DocumentStore {
 public:
  // A consistent view of one committed sequence. Must not outlive the store.
  class View {
   public:
    virtual ~View() = default;
  };
  using ViewPointer =
      std::shared_ptr<const View>;  // shared: readers hold it while a writer publishes the next

  // A change that is ready to be applied. It belongs to the state that it was prepared in: the next
  // change that is applied has to be this one, or it is of no use any more.
  class PreparedCommit {
   public:
    virtual ~PreparedCommit() = default;
    // As it will be.
    [[nodiscard]] virtual const Commit& commit() const = 0;
    // There is nothing to change; apply() does nothing.
    [[nodiscard]] virtual bool empty() const = 0;
    // The state that the change leads to. To be read only after apply() has returned ok.
    [[nodiscard]] virtual const ViewPointer& view() const = 0;
  };
  using PreparedPointer = std::unique_ptr<PreparedCommit>;

  // Errors: kNotFound (create_if_missing is false), kLocked (names the pid of the holder),
  // kUnsupported (newer format), kDataLoss (damage, or less than the watermark promises),
  // kInvalidArgument (the path is a file, or a folder with other things in it), kNoSpace, kIoError.
  static Result<std::unique_ptr<DocumentStore>> open(const std::string& path,
                                                     const StoreOptions& options);
  virtual ~DocumentStore() = default;

  // With all of its options and attributes. Errors: kAlreadyExists, kInvalidArgument (the name, a
  // dimension, a metric without user vectors), kFailedPrecondition (read-only), kIoError.
  virtual Result<PreparedPointer> prepare_collection(const CollectionDescriptor& descriptor) = 0;
  // An empty value removes the attribute. Errors: kNotFound (the collection), as
  // prepare_collection.
  virtual Result<PreparedPointer> prepare_attribute(const std::string& collection,
                                                    const std::string& name,
                                                    const std::string& value) = 0;
  // All or nothing. Errors: kIoError (an earlier write failed: the store refuses further ones until
  // it is opened again), kNotFound (the collection), kModelMismatch (another width or space),
  // kInvalidArgument, kDataLoss; those of prepare_collection where the batch makes it.
  virtual Result<PreparedPointer> prepare(const Batch& batch) = 0;
  // Synced to disk and recorded in the watermark when it returns ok; view() is the new state then.
  // After a failure nothing is changed, or the store refuses further changes until it is opened
  // again; the message says which.
  // Errors: kNoSpace (before RocksDB meets a full disk), kOutOfMemory, kIoError.
  virtual Status apply(PreparedCommit& prepared) = 0;

  // Both steps at once.
  Result<Collection> create_collection(const CollectionDescriptor& descriptor);
  Result<Collection> create_collection(const std::string& name, int dim, bool user_vectors);
  Status set_attribute(const std::string& collection, const std::string& name,
                       const std::string& value);
  Result<Commit> commit(const Batch& batch);

  // Postings of all passages that have none, in batches of a moderate size, each atomic and handed
  // to `apply` (empty: this store's); then the collection is complete. Postings of another analysis
  // are taken away first, in the first batch. What a process did that died on the way stays.
  // Errors: those of `make`, prepare and apply; kCancelled. Cost: reads every document and row.
  using ApplyFunction = std::function<Status(PreparedCommit& prepared)>;
  virtual Status build_postings(const std::string& collection, const std::string& analysis,
                                const TermMaker& make, std::stop_token stop,
                                const ApplyFunction& apply = {}) = 0;

  // The hidden collection that another model fills, until it takes the place of `collection`
  // (shadow_collection.h has its name); it begins with the collection's attributes, empty and
  // without a width. Errors: kNotFound (the collection), kAlreadyExists, as prepare_collection.
  virtual Result<PreparedPointer> prepare_shadow(const std::string& collection) = 0;
  // In one batch: the shadow gets the collection's name and attributes, every record of the old one
  // goes. Views from before keep the old one. Errors: kNotFound (either), as prepare_collection.
  // Cost: a batch of some dozen records.
  virtual Result<PreparedPointer> prepare_swap(const std::string& collection) = 0;
  // Takes the shadow away, if there is one. Errors: as prepare_shadow.
  virtual Result<PreparedPointer> prepare_drop_shadow(const std::string& collection) = 0;
  // Both steps at once.
  Result<Collection> create_shadow(const std::string& collection);
  Result<Collection> swap_in_shadow(const std::string& collection);
  Status drop_shadow(const std::string& collection);

  // The newest committed state.
  virtual ViewPointer view() const = 0;
  virtual std::uint64_t sequence(const View& view) const = 0;
  // Errors of all reads: kDataLoss (a damaged record, named), kIoError.
  // Without shadows.
  virtual Result<std::vector<Collection>> collections(const View& view) const = 0;
  virtual Result<std::optional<Collection>> find_collection(const View& view,
                                                            const std::string& name) const = 0;
  virtual Result<std::optional<StoredDocument>> find_document(const View& view,
                                                              std::uint32_t collection,
                                                              const std::string& key) const = 0;
  virtual Result<std::vector<std::string>> list_keys(const View& view, std::uint32_t collection,
                                                     const std::string& after,
                                                     std::int64_t limit) const = 0;
  // Documents in the order of their keys, from the first one after `after`; `visit` returns false
  // to stop. Cost: reads every text.
  virtual Status scan_documents(const View& view, std::uint32_t collection,
                                const std::string& after,
                                const std::function<bool(const StoredDocument&)>& visit) const = 0;
  // Whether scan_field tells of every document. Only an older format opened read-only has no index.
  virtual Result<bool> has_field_index(const View& view, std::uint32_t collection) const = 0;
  // Entries of the field index in the order of their values; a document has one for every value of
  // a list.
  virtual Status scan_field(const View& view, const FieldRange& range,
                            const FieldVisitor& visit) const = 0;
  // Metadata fields in the field index, in byte order, at most `limit`. Cost: a seek per name.
  virtual Result<std::vector<std::string>> field_names(const View& view, std::uint32_t collection,
                                                       std::size_t limit) const = 0;
  // Rows in the order of `ids`; kDataLoss where one is missing.
  virtual Result<std::vector<Row>> rows(const View& view, const Collection& collection,
                                        std::span<const std::uint64_t> ids) const = 0;
  // Rows whose vector was made of that content in that mode, lowest id first, at most `limit`; a
  // hash is no proof, so compare the texts. Nothing where an older format has no content index.
  // Cost: a seek.
  virtual Result<std::vector<std::uint64_t>> rows_of_content(const View& view,
                                                             const Collection& collection,
                                                             const Hash128& content,
                                                             NumericMode mode,
                                                             std::size_t limit) const = 0;
  // The first `width` components of each row's vector into `out` (ids, width): what a rerank reads.
  // Cost: one point read a row.
  virtual Status read_vectors(const View& view, const Collection& collection,
                              std::span<const std::uint64_t> ids, int width, float* out) const = 0;
  // Live rows with id >= first_row_id in ascending order; `visit` returns false to stop early.
  virtual Status scan_rows(const View& view, const Collection& collection,
                           std::uint64_t first_row_id,
                           const std::function<bool(const Row&)>& visit) const = 0;
  virtual Result<TermTotals> term_totals(const View& view, const Collection& collection) const = 0;
  // Postings of a term by row id, of documents whose first row is `first_row_id` or later; with
  // TermForms::kAll also those of the terms that continue it, term after term.
  virtual Status scan_postings(const View& view, const Collection& collection,
                               std::string_view term, TermForms forms, std::uint64_t first_row_id,
                               const std::function<void(const Posting&)>& visit) const = 0;
  // The different terms that begin with `prefix`, in byte order.
  virtual Status scan_terms(const View& view, const Collection& collection, std::string_view prefix,
                            const std::function<void(std::string_view term)>& visit) const = 0;
  // What came after `sequence`, or nothing when the store cannot tell (the journal does not reach
  // back, or the collection's digest at that sequence was another: the cache comes from another
  // history).
  virtual Result<std::optional<Changes>> changes_since(const View& view,
                                                       const Collection& collection,
                                                       std::uint64_t sequence,
                                                       const Hash128& digest) const = 0;
  // Reads and checks everything: RocksDB's checksums, every record, counts and digests, documents
  // against rows and rows against documents, vectors finite.
  virtual Result<VerifyReport> verify(std::stop_token stop) const = 0;
  // Rewrites the tables without what was deleted or replaced before the call; afterwards no byte of
  // it is in any file of RocksDB's. Changes go on beside it: `writing`, the caller's lock for them,
  // is taken for a moment at the beginning and at the end. Errors: kNoSpace (nothing was done: free
  // are the reserve and what the store has, at most 3 GiB), kFailedPrecondition (read-only; a
  // reader holds a view from before the call for over 30 s), kIoError. Cost: one pass over all that
  // is stored; extra disk at most what was asked for, memory some MB.
  virtual Status compact(std::mutex& writing) = 0;
  // What is left of a deleted document, or of the bytes of `texts`, in any file of the database.
  // Errors: kNotFound (the collection), kInvalidArgument, kCancelled, kDataLoss, kIoError.
  virtual Result<ErasureReport> find_traces(const std::string& collection, const std::string& key,
                                            const std::vector<std::string>& texts,
                                            std::stop_token stop) const = 0;
  virtual std::int64_t disk_bytes() const = 0;
  // Bytes in memory: blocks of tables, what is not in tables yet, indexes and filters of tables.
  struct Memory {
    std::int64_t block_cache = 0;
    std::int64_t write_buffers = 0;
    std::int64_t table_readers = 0;
  };
  virtual Memory memory() const = 0;
  virtual const std::string& path() const = 0;
  virtual bool read_only() const = 0;
  // Folder for files derived from the store, inside path(). Exists unless read-only and never made.
  virtual std::string cache_folder() const = 0;
  // Brings a read-only store level with what its writer has acknowledged meanwhile; views handed
  // out before stay as they were. False: nothing was. A store open for writing is always level.
  // Errors: those of open; kFailedPrecondition (the folder is another database now, or went back:
  // restored from a copy). After an error the store is as it was. Threads: as apply.
  // Cost: a read of 8 KiB where nothing is new, otherwise a read-only open.
  virtual Result<bool> refresh() = 0;
};

}  // namespace nestor::storage
