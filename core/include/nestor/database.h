// Database: documents in, answers out. A folder on disk that keeps text, metadata and vectors,
// embeds what is added and searches it in words. It opens no network connection.
//
// clang-format off
//   auto opened = nestor::Database::open("notes.nestor");  // finds the model as the CLI does
//   nestor::Database db = std::move(opened).value();
//   auto added = db.add({{.key = "a", .title = "storage", .text = "RocksDB keeps sorted runs"}});
//   auto found = db.search("how are keys stored?", {.k = 3});
//   for (const nestor::Hit& hit : found.value().hits) std::printf("%.3f %s\n", hit.score, hit.text.c_str());
// clang-format on
//
// Threads: every method is safe beside every other one, close() included. A call that reads
// (search, get, count, stats, ...) takes the newest committed state when it begins, reads that one
// to its end, and waits for no writer. Changes are applied one at a time, each for milliseconds: an
// add embeds its text before that, beside all other calls. The one long change is set_attribute of
// the language, which makes all postings of the collection anew. Only searches of one collection
// wait for one another, while its index is loaded for the first of them, and for verify() while it
// reads that collection's cache files; their deadline counts meanwhile. close() and the destructor
// wait for the calls that are inside; calls that come later return kFailedPrecondition. A callback
// runs with no lock held and may call the same database, but not close() it; a LogCallback may not
// call it at all. Moving from a Database, or beginning a call on one that is destroyed, is a
// mistake of the caller's.
//
// Threads that a database starts: the workers that it shares with all embedders and databases of
// the process (nestor/embedder.h; OpenOptions::embedder.thread_count is the limit of a call), none
// with a thread_count of 1; one that sorts codes into lists, while it does (from 1,500,000 passages
// on); and RocksDB's, three for all databases of the process: rocksdb:high (flush) and rocksdb:low
// (compaction) from the first open to the end of the process, and a timer while a database is open
// for writing.
//
// Processes: one writer. A second opener for writing gets kLocked with the holder's pid; read-only
// openers see what was committed when they opened, or refresh() them. A handle does not survive
// fork(): every call in the child returns kFailedPrecondition.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/document.h"
#include "nestor/embedder.h"
#include "nestor/export.h"
#include "nestor/filter.h"
#include "nestor/maintenance.h"
#include "nestor/options.h"
#include "nestor/query.h"
#include "nestor/recall.h"
#include "nestor/reembed.h"
#include "nestor/search.h"
#include "nestor/status.h"
#include "nestor/transfer.h"

namespace nestor {

struct OpenOptions {
  bool create_if_missing = true;
  // Take no lock and write nothing inside the folder.
  bool read_only = false;
  // The model for collections that embed. It is loaded when first needed; pass `shared_embedder` to
  // use one that is loaded already (several databases may share it).
  EmbedderOptions embedder = {};
  std::optional<Embedder> shared_embedder = {};
  // Embeddings of questions are kept, the latest used, up to so many bytes (some 3.5 kB a
  // question); 0: none.
  std::int64_t query_cache_bytes = std::int64_t{4} << 20;
  // What the database may hold in memory, at least 32 MiB; 0: each part its usual size, codes as
  // many as there are rows. Divided in fixed shares: half for indexes (codes, rows and prefixes in
  // full precision, and what building, training and growing them takes for a while), a quarter for
  // RocksDB (blocks with indexes and filters of tables, write buffers), the rest for filters,
  // postings, cached rows on their way to a file, masks and embeddings of questions.
  // Counted as well while it opens, recovers, compacts and measures. What does not fit is refused
  // before it is allocated, with kOutOfMemory and the budget that is enough; a batch that does not
  // fit is refused whole, and nothing of it is stored. What only costs time is left undone, and
  // memory_usage() says so. The answers are those of a database without a limit; codes trained on
  // fewer rows may choose other candidates for them.
  // Not counted: the model (its file is mapped, its workspace belongs to the embedder); mapped
  // caches, whose pages the system takes back; what one call holds while it runs: some five times
  // the batch given to add, the hits of a search, pieces of 8 MiB that work goes through, 200 bytes
  // a document for verify and repair, the log of a writer that died while it is read at open.
  std::int64_t memory_bytes = 0;
  LogCallback log = {};
};

// How a long text is cut into passages. Sizes are in model tokens.
struct SplitOptions {
  bool enabled = true;       // false: the whole text is one passage, cut at the model's context
  int passage_tokens = 256;  // the most tokens of body text in one passage, 16 to 1,800
};

struct AddOptions {
  std::string collection = kDefaultCollection;
  SplitOptions split = {};
  std::vector<std::string> removals = {};  // keys that go in the same atomic batch
  std::stop_token stop = {};
  ProgressCallback progress = {};
};

struct AddReport {
  std::int64_t documents_added = 0;
  std::int64_t documents_updated = 0;
  std::int64_t documents_unchanged = 0;  // same title, text, metadata and cut: nothing was written
  std::int64_t passages_embedded = 0;
  // Same text and title slot as another passage, of any key, there or in this call: one vector.
  std::int64_t passages_reused = 0;
  std::int64_t passages_truncated =
      0;  // longer than the model's context; the tail is not searchable
  std::int64_t tokens_embedded = 0;
};

struct RemoveOptions {
  std::string collection = kDefaultCollection;
  std::stop_token stop = {};  // heard by remove_matching, between its batches
  // Erase for good what this call removes and all that was removed or replaced before (see
  // nestor/maintenance.h): the collection's caches go, to be made again by its next search, and the
  // store is compacted. Errors of that: those of compact; the documents are then removed all the
  // same.
  bool erase = false;
};

// A document's new metadata: all of it, or changes to what is there.
struct MetadataChange {
  std::string key = {};
  Metadata set = {};                    // fields that get these values
  std::vector<std::string> unset = {};  // fields that go
  bool replace = false;                 // everything else goes too
};

struct CollectionOptions {
  // 0: the texts are embedded by the model. Otherwise bring-your-own vectors of this width (1 to
  // 65,536), compared by `metric`, and no model is needed.
  int vector_width = 0;
  // Other than cosine: for vectors of one's own only, which are kept and compared as they are (of
  // length 1e18 at most; zero is one of them).
  Metric metric = Metric::kCosine;
};

struct CollectionStats {
  std::string name;
  std::int64_t documents = 0;
  std::int64_t passages = 0;
  int width = 0;          // 0 while the collection is empty and its model not yet known
  std::string space;      // hex; "external" for bring-your-own vectors
  std::string model;      // the model's name
  std::string precision;  // numeric mode of the rows: "f32", "external", "mixed"
  Metric metric = Metric::kCosine;
  std::int64_t text_bytes = 0;
  std::int64_t truncated_passages = 0;
  std::map<std::string, std::string> attributes = {};  // all of set_attribute
};

struct Stats {
  std::string path;
  int format_version = 0;
  std::uint64_t sequence = 0;  // of the last committed batch
  std::int64_t disk_bytes = 0;
  std::vector<CollectionStats> collections;
};

// Bytes in this process's memory, by what they are for. Mapped files are told apart: their pages
// are the system's to take back.
struct MemoryUsage {
  std::int64_t index_codes = 0;              // codes of the collections searched so far
  std::int64_t index_rows = 0;               // full-precision rows and prefixes beside them
  std::int64_t filter_sets = 0;              // rows found by filters
  std::int64_t filter_masks = 0;             // the same as masks over the codes
  std::int64_t keyword_lists = 0;            // postings
  std::int64_t query_cache = 0;              // embeddings of questions
  std::int64_t block_cache = 0;              // RocksDB: blocks of tables
  std::int64_t write_buffers = 0;            // RocksDB: what is not in tables yet
  std::int64_t table_readers = 0;            // RocksDB: indexes and filters of open tables
  std::int64_t model_file = 0;               // mapped; 0 while the model is not loaded or another's
  [[nodiscard]] std::int64_t total() const;  // without model_file, mapped_rows and budget
  std::int64_t mapped_codes = 0;  // of index_codes, those in a mapped file: not in the budget
  std::int64_t mapped_rows = 0;   // cached rows in mapped files, beside index_rows
  std::int64_t budget = 0;        // OpenOptions::memory_bytes
  // What the budget had no place for and was left undone, a sentence each; it costs time and no
  // answer.
  std::vector<std::string> held_back = {};
};

struct VerifyReport {
  std::int64_t documents = 0;
  std::int64_t passages = 0;
  // Each a sentence that names the collection, the key and what was found; empty when all is well.
  std::vector<std::string> problems;
  // Caches that were missing, old or damaged. They are no loss: they are rebuilt from the store.
  std::vector<std::string> notes;
};

class NESTOR_API Database {
 public:
  // Opens the database in the folder `path`; creates it if the options say so.
  // Errors: kNotFound, kLocked (names the pid), kUnsupported (a newer format, both numbers),
  // kDataLoss, kIoError, kNoSpace, kOutOfMemory (a budget below the least). The model is not
  // touched: a missing one shows at the first call that needs it.
  static Result<Database> open(const std::string& path, const OpenOptions& options = {});

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  // As close().
  ~Database();

  // Creates a collection. Names: 1 to 64 of [A-Za-z0-9._-], not starting with a dot. `add` makes
  // the collection by itself: embedded, or of the first vector's width.
  // Errors: kInvalidArgument, kAlreadyExists (with other settings).
  Result<bool> create_collection(const std::string& name, const CollectionOptions& options = {});
  // Small facts kept with a collection, such as the folder it was made from. An empty value
  // removes.
  Status set_attribute(const std::string& collection, const std::string& name,
                       const std::string& value);
  Result<std::string> attribute(const std::string& collection, const std::string& name) const;

  // Adds or replaces documents by key, all of them or none; of equal keys in one call the last
  // wins. When it returns ok the batch is synced to disk and visible to every search that begins
  // after. Errors: kInvalidArgument (names the key and the limit), kModelMissing, kModelMismatch,
  // kNoSpace, kIoError, kCancelled, kFailedPrecondition (read-only), kOutOfMemory (the index of
  // these rows would not fit OpenOptions::memory_bytes; the budget that is enough).
  // Cost: the embedding; some 0.2 GFLOP a token.
  Result<AddReport> add(std::span<const Document> documents, const AddOptions& options = {});
  Result<AddReport> add(const std::vector<Document>& documents, const AddOptions& options = {});
  // Removes documents, all in one batch; unknown keys are no error. Returns how many were there.
  // They are gone from every search that begins after.
  Result<std::int64_t> remove(std::span<const std::string> keys, const RemoveOptions& options = {});
  Result<std::int64_t> remove(const std::vector<std::string>& keys,
                              const RemoveOptions& options = {});

  // Removes the documents that match when their batch comes, in atomic batches of 10,000. Returns
  // how many went. What an error leaves is told by it. Errors: kInvalidArgument (a wrong filter;
  // one that says nothing, since it would remove everything), kCancelled, those of remove.
  Result<std::int64_t> remove_matching(const Filter& filter, const RemoveOptions& options = {});
  // Removes what has expired. Documents whose metadata field "_expires_at" (seconds since 1970) has
  // come are hidden from every search, get, list and count anyway.
  Result<std::int64_t> remove_expired(const RemoveOptions& options = {});
  // Changes metadata in one atomic batch; nothing is embedded again. Unknown keys are passed over.
  // Returns how many documents were there. Errors: kInvalidArgument (a value that metadata cannot
  // hold), those of remove.
  Result<std::int64_t> change_metadata(const std::vector<MetadataChange>& changes,
                                       const std::string& collection = kDefaultCollection);

  // The whole document, without its vectors. Errors: kNotFound (also where it has expired).
  Result<Document> get(const std::string& key,
                       const std::string& collection = kDefaultCollection) const;
  // Keys in byte order, from the first one after `after`, at most `limit` of them.
  Result<std::vector<std::string>> list_keys(const std::string& collection = kDefaultCollection,
                                             const std::string& after = {},
                                             std::int64_t limit = 1000) const;
  // The same for documents that match. Errors: also kInvalidArgument (a wrong filter).
  Result<std::vector<std::string>> list_keys(const Filter& filter,
                                             const std::string& collection = kDefaultCollection,
                                             const std::string& after = {},
                                             std::int64_t limit = 1000) const;
  // How many documents match. Errors: kInvalidArgument (a wrong filter), kNotFound (the
  // collection).
  Result<std::int64_t> count(const Filter& filter = {},
                             const std::string& collection = kDefaultCollection) const;

  // Fields that the filter names and no document of the collection has. `yaer != 2020` matches
  // every document, so ask before a filter removes anything. Errors: kInvalidArgument (a wrong
  // filter), kNotFound (the collection). Cost: a seek per field of the filter; where one is
  // unknown, a seek per field of the collection.
  Result<std::vector<UnknownField>> unknown_fields(
      const Filter& filter, const std::string& collection = kDefaultCollection) const;

  // Brings a collection that another model embedded to the model in use; see nestor/reembed.h.
  // Changes of the collection wait only where they come faster than they can be embedded: for the
  // last pass. Errors: kNotFound, kInvalidArgument (vectors of the callers' own),
  // kFailedPrecondition (read-only; another reembed runs), kModelMissing, kCancelled and kNoSpace
  // and kIoError (what is done is kept; the next call goes on), kDataLoss. Cost: embeds every
  // passage; until the swap the disk holds both.
  Result<ReembedReport> reembed(const ReembedOptions& options = {});

  // Passages that answer the question, by meaning, by words or by both (options.mode).
  // Errors: kInvalidArgument (options out of their range; a query without a visible character,
  // alone or as a part), kNotFound (the collection), kModelMissing, kModelMismatch,
  // kFailedPrecondition (words of a collection whose words are not indexed: what to do),
  // kCancelled, kDeadlineExceeded, kOutOfMemory (as add), those of options.rerank.
  Result<SearchResult> search(std::string_view query, const SearchOptions& options = {}) const;
  // The same for a question of several parts. Errors: also kNotFound (a key that is not there).
  // Cost: an embedding a text, the vectors of each document; kBest a search a part.
  Result<SearchResult> search(const Query& query, const SearchOptions& options = {}) const;
  // The same for a vector of the collection's width; it need not have unit length.
  Result<SearchResult> search_vector(std::span<const float> vector,
                                     const SearchOptions& options = {}) const;

  // Many questions at once, each as `search` answers it, in their order: embedded in one batch,
  // then spread over the threads of OpenOptions::embedder. The first failure is that of all.
  Result<std::vector<SearchResult>> search_batch(const std::vector<std::string>& queries,
                                                 const SearchOptions& options = {}) const;
  // The same for `vectors` (count, width of the collection), row by row.
  Result<std::vector<SearchResult>> search_vectors(std::span<const float> vectors,
                                                   const SearchOptions& options = {}) const;

  // What plans find of the exact best passages, measured on the collection itself, and how fast
  // they are. Empty without passages. Errors: those of search. Cost: a pass over all vectors and
  // some thousand searches.
  Result<RecallReport> measure_recall(const RecallOptions& options = {}) const;

  Result<Stats> stats() const;
  // What is held now; nothing is loaded for it.
  Result<MemoryUsage> memory_usage() const;
  // Reads everything: checksums, counts, digests, both directions between documents and passages.
  // Errors: kIoError, kCancelled; damage is not an error of the call but of the report.
  Result<VerifyReport> verify(std::stop_token stop = {}) const;

  // Brings a read-only handle up to what its writer has acknowledged; a writing one always is
  // there. Searches go on meanwhile, each on one state, and sequences never go back. Indexes are
  // brought up to date in memory by the journal, or loaded anew where that is quicker; nothing is
  // written inside the folder. Errors: those of open; kFailedPrecondition (the folder holds another
  // database now, or an older copy of this one). After an error the handle is as it was.
  // Cost: a read of 8 KiB where nothing is new; else a read-only open and the rows that came.
  Result<RefreshReport> refresh();

  // A copy of the database in the new or empty folder `to`, consistent at one sequence, which holds
  // all that was acknowledged before the call; writers go on. A copy is a database like any other:
  // to restore one, put it in the place of the lost one. Index caches are made anew there.
  // Errors: kAlreadyExists, kInvalidArgument (inside the database), kDataLoss (what verify found;
  // nothing is left), kNoSpace, kIoError, kCancelled.
  Result<BackupReport> backup(const std::string& to, const BackupOptions& options = {}) const;
  // A backup as one checked file, to carry elsewhere. STORED: storage/FORMAT.md, "Bundles".
  // Errors: those of backup. Cost: for a moment, a backup beside `file`.
  Result<BundleReport> bundle(const std::string& file, const BackupOptions& options = {}) const;
  // The database of a bundle into the new or empty folder `to`; nothing is left there after an
  // error. Its checksum finds accidents, not malice: take bundles from people you trust only.
  // Errors: kNotFound, kDataLoss (damaged, or it holds something else than it says), kUnsupported
  // (a newer format, both numbers), kAlreadyExists, kNoSpace, kIoError, kCancelled.
  static Result<BundleReport> unbundle(const std::string& file, const std::string& to,
                                       const BackupOptions& options = {});

  // The documents of a collection as lines of JSON, in the order of their keys, all of one state:
  // a header, a line a document with passages and vectors, an end. STORED: storage/FORMAT.md,
  // "Exports". Errors: kNotFound (the collection), kInvalidArgument (the filter), those of `write`
  // and of reading; kCancelled.
  Result<ExportReport> export_documents(const LineWriter& write,
                                        const ExportOptions& options = {}) const;
  // The way back, in atomic batches. Vectors are taken as they are where the collection, or for a
  // new one the model in place, has the space that the file names (without a model: that of the
  // file); else the texts are embedded again and `note` says why. What is there already and equal
  // is passed over, so a broken import is resumed by doing it again. Errors: kInvalidArgument (with
  // the line's number and what is in already), those of add.
  Result<ImportReport> import_documents(const LineSource& next, const ImportOptions& options = {});

  // Mends what verify finds in the database in the folder `path`, which nobody may have open for
  // writing. What is derived is made again: caches, field index, postings, counts, digests, the
  // watermark, records that belong to nothing. Where acknowledged documents are damaged or gone,
  // nothing is changed unless `accept_loss`: the report says what would be lost. With it, what is
  // damaged is set aside in a folder lost-DATE inside the database, everything readable is kept,
  // and verify finds nothing afterwards. A process that dies meanwhile leaves the old state, the
  // new one, or one that the next repair finishes.
  // Errors: kNotFound, kLocked (names the pid), kUnsupported (a newer format), kDataLoss (nothing
  // can be read at all), kNoSpace, kIoError, kCancelled.
  // Cost: reads everything twice; where RocksDB's own files are damaged, a second copy on disk.
  static Result<RepairReport> repair(const std::string& path, const RepairOptions& options = {});

  // Gives the disk space of what was removed and replaced before the call back, and erases it from
  // the store. RocksDB does the first by itself, in the background, for tables of which a quarter
  // are deletions. Errors: kNoSpace (says how much is needed; nothing was done),
  // kFailedPrecondition (read-only, or a search held an old state for over 30 s), kIoError. Cost:
  // rewrites the store; extra disk at most its size and at most 3 GiB, memory some MB. Other calls
  // go on.
  Result<CompactReport> compact();

  // Looks for what is left of a removed document: every version of every record in RocksDB, hidden
  // and deleted ones too, its logs and lists of files, and all caches, for the key and for each of
  // `texts` (the text, a title, a word: what must be nowhere but in other documents). An empty list
  // of findings is the proof. Errors: kNotFound (the collection), kInvalidArgument, kCancelled,
  // kDataLoss, kIoError. Cost: reads the whole folder.
  Result<ErasureReport> verify_erased(const std::string& key,
                                      const std::vector<std::string>& texts = {},
                                      const std::string& collection = kDefaultCollection,
                                      std::stop_token stop = {}) const;

  // The model in use, loading it if need be. Errors: kModelMissing and the others of
  // Embedder::open.
  Result<Embedder> embedder() const;

  // Waits for the calls that are inside, saves the index cache (a failure is a warning to the log:
  // nothing is lost) and lets go of the folder. Every later call returns kFailedPrecondition, as do
  // a second close(), once the first has returned, and one from a callback.
  Status close();

  struct Impl;
  // For query/ itself, which makes a Database of its parts.
  explicit Database(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor
