// Database::Impl: the store, the indexes over it and the locks between them.
//
// Threads. `writing` admits one writer at a time and is held through embedding and commit. `state`
// guards what searches see: the view and the ladders level with it; a writer holds it alone only to
// swap the new state in, so a search runs against one committed sequence and never waits for an
// embedding or a sync. `lifecycle` is shared by every call and taken alone by close(). Order:
// lifecycle, writing, state.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/fair_shared_mutex.h"
#include "core/stop_check.h"
#include "core/thread_pool.h"
#include "nestor/database.h"
#include "query/document_query.h"
#include "query/finish_search.h"
#include "query/ingest.h"
#include "query/keyword_search.h"
#include "query/memory_budget.h"
#include "query/portable_document.h"
#include "query/question_cache.h"
#include "query/recovery.h"
#include "query/renewal.h"
#include "query/row_filter.h"
#include "query/text_analysis.h"
#include "query/text_encoder.h"
#include "storage/document_store.h"

namespace nestor {

struct Database::Impl {
  // The index of one collection, level with the state's view; empty until a search needs it.
  struct LevelIndex {
    storage::Collection collection;
    query::LoadedIndex loaded;
  };

  // A question as it is searched for. `words` is what keyword search understands of its texts, and
  // `analyzer` what made it so; null where nothing asks for words.
  struct Question {
    std::vector<float> vectors;  // (parts, collection width); may be empty in keyword mode
    std::string text;
    std::unique_ptr<query::TextAnalyzer> analyzer;
    query::KeywordQuery words;
    std::vector<std::string> left_out;  // keys of documents that are no hits
    std::uint32_t collection_id = 0;    // whose space the vectors belong to
  };

  Impl(std::unique_ptr<storage::DocumentStore> opened, query::EncoderFactory factory,
       const OpenOptions& options, const query::MemoryBudget& divided);
  ~Impl();

  // Shared hold on an open handle of this process, or why there is none.
  Result<std::shared_lock<std::shared_mutex>> enter() const;
  Result<query::EncoderPointer> encoder() const;

  // Of these options; false where such a collection is there already.
  Result<bool> create_collection(const storage::CollectionDescriptor& wanted);
  Status set_attribute(const std::string& collection, const std::string& name,
                       const std::string& value);
  Result<AddReport> add(std::span<const Document> documents, const AddOptions& options);
  Result<std::int64_t> remove(std::span<const std::string> keys, const RemoveOptions& options);
  // `work` on the newest state of a collection; 0 where the default one is not there yet.
  // To be called with `writing` held where `work` commits.
  Result<std::int64_t> on_documents(
      const std::string& collection,
      const std::function<Result<std::int64_t>(const query::DocumentSource&)>& work) const;
  // The same for work that changes something, with what commits and publishes a batch.
  Result<std::int64_t> change_documents(
      const std::string& collection,
      const std::function<Result<std::int64_t>(const query::DocumentSource&,
                                               const query::CommitFunction&)>& work);
  Result<SearchResult> search_query(const Query& asked, const SearchOptions& options) const;
  Result<SearchResult> search_text(std::string_view text, const SearchOptions& options) const;
  Result<SearchResult> search_vector(std::span<const float> vector,
                                     const SearchOptions& options) const;
  Result<std::vector<SearchResult>> search_batch(const std::vector<std::string>& questions,
                                                 const SearchOptions& options) const;
  Result<std::vector<SearchResult>> search_vectors(std::span<const float> vectors,
                                                   const SearchOptions& options) const;
  Result<RecallReport> measure_recall(const RecallOptions& options) const;
  Result<ReembedReport> reembed(const ReembedOptions& options);
  MemoryUsage memory_usage() const;
  // database_memory.cc: what the budget leaves to the index of a collection; `beside` another one
  // of it. REQUIRES: `state` held.
  [[nodiscard]] query::IndexRoom room_for(const std::string& name, bool beside = false) const;
  // Whether the index takes what a batch would add to it. Errors: kOutOfMemory.
  Status check_room(const storage::Batch& batch,
                    const std::optional<storage::Collection>& collection, bool external) const;
  // Said once in the log, and by memory_usage() from then on.
  void hold_back(const std::string& what, const Status& why) const;
  Result<CompactReport> compact();
  // What RemoveOptions::erase asks for, once the documents are removed.
  Status erase_removed(const std::string& collection);
  // `removed`, once what it removed is erased too where the options ask for it.
  Result<std::int64_t> and_erased(Result<std::int64_t> removed, const RemoveOptions& options);
  // Postings of every collection that lacks them: of an older format, or left unfinished.
  Status complete_postings();
  // database_transfer.cc: what Database says of them.
  Result<RefreshReport> refresh();
  Result<BackupReport> backup(const std::string& to, const BackupOptions& options) const;
  Result<BundleReport> bundle(const std::string& file, const BackupOptions& options) const;
  Result<ExportReport> export_documents(const LineWriter& write,
                                        const ExportOptions& options) const;
  Result<ImportReport> import_documents(const LineSource& next, const ImportOptions& options);
  // Whether the vectors of an export are taken into `collection` (none: a new one) as they are;
  // why not goes into `note`.
  Result<bool> takes_vectors(const query::PortableHeader& header,
                             const std::optional<storage::Collection>& collection,
                             const ImportOptions& options, std::string& note);
  // The collection of an import, made where it is not there; true where the vectors may be taken.
  Result<bool> settle_import(const query::PortableHeader& header, const ImportOptions& options,
                             ImportReport& report);
  // Documents with their passages and vectors as they are, in one batch; those that are there and
  // equal are passed over. The collection is there. Counts go into `report`.
  Status import_batch(const query::PortableHeader& header, const std::string& collection,
                      std::vector<storage::DocumentWrite> writes, ImportReport& report);
  Status close();

  storage::DocumentStore::ViewPointer current_view() const;
  // The collection in `view`. Errors: kNotFound names those there are; the default one may be
  // missing.
  Result<std::optional<storage::Collection>> find(const storage::DocumentStore::View& view,
                                                  const std::string& name) const;
  const pid_t owner;
  const query::MemoryBudget budget;
  LogCallback log;
  int thread_count = 0;  // of search_batch; 0: one for each processor
  std::int64_t list_rows = index::LadderIndex::kListRows;  // sorted into lists from so many on
  std::unique_ptr<storage::DocumentStore> store;           // null after close

  mutable std::shared_mutex lifecycle;
  mutable std::mutex writing;
  mutable FairSharedMutex state;
  storage::DocumentStore::ViewPointer view;
  // Filled by const searches: a cache of what the view holds.
  mutable std::map<std::string, LevelIndex> indexes;
  mutable query::RowFilters filters;
  mutable query::KeywordSearch keywords;
  const std::unique_ptr<query::QuestionCache> question_cache;

 private:
  Status add_removals(const std::vector<std::string>& keys,
                      const storage::DocumentStore::View& seen,
                      const std::optional<storage::Collection>& collection,
                      storage::Batch& batch) const;
  // A search's place: one state of one collection, and what the filter leaves of it.
  struct Ground {
    storage::DocumentStore::ViewPointer view;
    storage::Collection collection;
    std::optional<query::MatchingRows> matching;  // none: all rows
    std::vector<std::uint64_t> left_out;          // rows that are no hits, ascending
    double filter_seconds = 0;
    [[nodiscard]] std::int64_t may_be_found() const;
    // Of the same state and the same set of rows: what was found in one holds in the other.
    [[nodiscard]] bool is_like(const Ground& other) const;
  };
  Result<Ground> ground_in(storage::DocumentStore::ViewPointer seen, storage::Collection collection,
                           const Question& question, const SearchOptions& options) const;
  // Nothing where there are no passages.
  Result<std::optional<Ground>> newest_ground(const Question& question,
                                              const SearchOptions& options) const;
  // Errors: those of make_plan.
  Status check_plan(const SearchOptions& options, const storage::Collection& collection) const;
  // `calibration` as in make_plan.
  Result<query::Plan> plan_for(const SearchOptions& options, const Ground& ground,
                               const index::Calibration* calibration) const;
  // What the questions of a batch have in common, and what one scan for all of them found.
  struct Together {
    std::optional<Ground> ground;
    std::vector<query::FirstRound> rounds;  // (questions), or none: each begins by itself
  };
  // One question's part of it.
  struct Before {
    const Ground* ground = nullptr;
    const query::FirstRound* round = nullptr;  // found in this ground; may be null
  };
  // database_batch.cc. Every question has a result's place.
  Status search_together(std::span<Question> questions, const SearchOptions& options,
                         const storage::Collection& collection,
                         std::span<SearchResult> results) const;
  Result<Together> begin_together(std::span<const Question> questions,
                                  const SearchOptions& options) const;
  // The rounds of some of the questions, in one thread; they stay as they are where the index is
  // not level with the ground, or scans no codes.
  Status scan_for(std::span<const Question> questions, const SearchOptions& options,
                  const Ground& ground, std::span<query::FirstRound> rounds) const;
  // The coarse pass in the newest state; `ground` becomes what it ran against. Both are nothing
  // where the passages went meanwhile.
  Result<std::optional<query::CoarseResult>> coarse_pass(const Question& question,
                                                         const SearchOptions& options,
                                                         std::optional<Ground>& ground,
                                                         const Before& before) const;
  // With every vector of the question, without the rows left out.
  Result<query::CoarseResult> pass_over_all(const LevelIndex& index, const Question& question,
                                            const query::Plan& plan, std::int64_t wanted,
                                            const Ground& ground, const Before& before,
                                            const StopCheck& stop) const;
  Result<query::CoarseResult> pass_over(const LevelIndex& index, std::span<const float> query,
                                        const query::Plan& plan, std::int64_t wanted,
                                        const Ground& ground, const query::FirstRound* first,
                                        const StopCheck& stop) const;
  // Whether all rows that may be found are candidates, and nothing has to be scanned to choose.
  static bool takes_all_rows(const query::CollectionIndex& index, const query::Plan& plan,
                             const Ground& ground);
  // The mask of the ground's rows over the codes (null: all); `plan` becomes as deep as what a
  // filter leaves has to be searched.
  Result<std::shared_ptr<const index::LadderFilter>> mask_for(const LevelIndex& index,
                                                              const Ground& ground,
                                                              query::Plan& plan) const;
  Result<SearchResult> search_with(const Question& question, const SearchOptions& options,
                                   SearchResult result, const Before& before) const;
  Result<SearchResult> search_with(const Question& question, const SearchOptions& options,
                                   SearchResult result) const {
    return search_with(question, options, std::move(result), Before());
  }
  // database_query.cc: parts of a question as vectors. What embedding cost goes into `result`.
  Result<std::vector<float>> vectors_of(const Query& asked,
                                        const storage::DocumentStore::View& seen,
                                        const storage::Collection& collection,
                                        const SearchOptions& options, SearchResult& result) const;
  Result<std::vector<float>> document_vector(const std::string& key,
                                             const storage::DocumentStore::View& seen,
                                             const storage::Collection& collection,
                                             const StopCheck& stop) const;
  Status take_documents(const QueryParts& parts, const storage::DocumentStore::View& seen,
                        const storage::Collection& collection, const StopCheck& stop,
                        std::vector<Weighted<std::vector<float>>>& to) const;
  Status take_texts(const Query& asked, const storage::Collection& collection,
                    const SearchOptions& options, std::vector<Weighted<std::vector<float>>>& like,
                    std::vector<Weighted<std::vector<float>>>& unlike, SearchResult& result) const;
  // 0 where it is not loaded, or is no file.
  std::int64_t model_file_bytes() const;
  // The questions as vectors, in one batch; what they cost and by what goes into `results`.
  Status embed_questions(std::span<const std::string> questions,
                         const storage::Collection& collection, const SearchOptions& options,
                         std::vector<std::vector<float>>& vectors,
                         std::vector<SearchResult>& results) const;
  // Whether there is room to sort the codes into lists. REQUIRES: `state` held.
  [[nodiscard]] bool lists_fit(const std::string& name, const LevelIndex& index) const;
  // Whether a question in words can be asked here at all.
  Status check_question_fits(const storage::Collection& collection,
                             const SearchOptions& options) const;
  static Status check_vector_mode(const SearchOptions& options);
  // The words of a question, where the options ask for them.
  static Status take_words(const storage::Collection& collection, const SearchOptions& options,
                           Question& question);
  [[nodiscard]] bool words_are_enough(const Status& embedded, const SearchOptions& options) const;
  ThreadPool& search_pool() const;
  // Sorts a large collection into lists, in the background, one at a time; nothing where it is
  // small or the handle is read-only. Searches and writers go on meanwhile.
  void start_lists(const std::string& name) const;
  Status build_lists(const std::string& name, const std::stop_token& stop) const;
  // Vectors to measure recall with, (count, width); what they are goes into the report.
  Result<std::vector<float>> recall_questions(const storage::DocumentStore::View& seen,
                                              const storage::Collection& collection,
                                              const RecallOptions& options,
                                              RecallReport& report) const;
  // Whether a measurement has room. Errors: kOutOfMemory.
  Status check_recall_room(const RecallOptions& options, const storage::Collection& collection,
                           std::int64_t questions) const;
  [[nodiscard]] bool prefixes_fit(const storage::Collection& collection) const;
  // The index, and its full-precision prefixes where `plan` goes over them.
  Status ensure_index(const std::string& name, const query::Plan& plan) const;
  // What the collection has outgrown, anew; searches go on meanwhile.
  Status renew_index(const std::string& name);
  // database_reembed.cc.
  static Status require_collection_of_texts(const storage::Collection& collection);
  // What is left of an earlier call goes.
  Status discard_shadow(const storage::Collection& collection, ReembedReport& report);
  Status reembed_in_shadow(const storage::Collection& old, const query::TextEncoder& model,
                           const ReembedOptions& options, ReembedReport& report);
  Status reembed_modes(const std::string& name, const query::EncoderPointer& model,
                       const ReembedOptions& options, ReembedReport& report);
  Status swap_to_shadow(const storage::Collection& old, query::Renewal& renewal);
  // With `writing` held: the shadow is there, and its words are of the collection's language.
  Status level_shadow_language(const std::string& name);
  // With `writing` held: what was removed is not kept in the shadow until the next pass either.
  Status follow_in_shadow(const storage::Commit& commit, const storage::Batch& batch);
  void forget_collection(const std::string& name);
  // After a commit that changed no row of the collection. Errors: those of reading the store.
  Status take_new_view(const std::string& collection);
  void note_for_filters(const storage::Commit& commit, const storage::Batch& batch);
  void publish(const storage::Commit& commit, const storage::Batch& batch);
  Status save_indexes();

  std::set<std::string> changed_;  // collections written to since open; guarded by `writing`
  std::mutex reembedding_;         // held by the one reembed there may be; before `writing`
  mutable std::mutex encoder_mutex_;
  query::EncoderFactory encoder_factory_;
  mutable query::EncoderPointer encoder_;
  mutable std::mutex pool_mutex_;
  mutable std::unique_ptr<ThreadPool> pool_;  // made when first asked for
  mutable std::mutex lists_mutex_;
  mutable std::atomic<bool> building_lists_{false};
  mutable std::jthread list_builder_;
  mutable std::mutex held_back_mutex_;
  mutable std::map<std::string, std::string> held_back_;  // by what it is
};

}  // namespace nestor
