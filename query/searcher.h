// Searcher: searches. Each reads one state of the database, which it takes at its beginning, and
// waits for no writer.
//
// Threads: safe anywhere. Callbacks run with no lock held.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/database.h"
#include "query/database_context.h"
#include "query/finish_search.h"
#include "query/index_manager.h"
#include "query/keyword_query.h"
#include "query/planner.h"
#include "query/text_analysis.h"

namespace nestor::query {

// kInvalidArgument: words are asked for and there are vectors alone.
Status vector_has_no_words(SearchMode mode);

class Searcher {
 public:
  Searcher(DatabaseContext& context, IndexManager& indexes)
      : context_(context), store_(*context.store), indexes_(indexes) {}

  // As Database has them.
  Result<SearchResult> search(const Query& asked, const SearchOptions& options);
  Result<SearchResult> search_vector(std::span<const float> vector, const SearchOptions& options);
  Result<std::vector<SearchResult>> search_batch(const std::vector<std::string>& queries,
                                                 const SearchOptions& options);
  Result<std::vector<SearchResult>> search_vectors(std::span<const float> vectors,
                                                   const SearchOptions& options);
  Result<RecallReport> measure_recall(const RecallOptions& options);

 private:
  // A query as it is searched for. `words` is what keyword search understands of its texts, and
  // `analyzer` made it; null where nothing asks for words.
  struct PreparedQuery {
    std::vector<float> vectors;  // (parts, dimensions of the collection); may be empty for keywords
    std::string text;
    std::unique_ptr<TextAnalyzer> analyzer;
    KeywordQuery words;
    std::vector<std::string> excluded;  // keys of documents that are no hits
    std::uint32_t collection_id = 0;    // whose vector space the vectors belong to
  };
  // What a search reads: one state of one collection, and what the filter leaves of it.
  struct SearchSnapshot {
    StatePointer state;
    CollectionStatePointer entry;
    IndexPointer index = nullptr;               // null in keyword mode
    std::optional<MatchingRows> matching = {};  // none: all passages
    std::vector<std::uint64_t> excluded = {};   // passages that are no hits, ascending
    double filter_seconds = 0;
    [[nodiscard]] const storage::Collection& collection() const { return entry->collection; }
    [[nodiscard]] std::int64_t may_be_found() const;
  };
  // What the queries of a batch have in common.
  struct SharedScan {
    std::optional<SearchSnapshot> snapshot;
    std::vector<FirstRound> rounds;  // one per query, or none: each begins by itself
  };

  // Nothing where there are no passages. `state` is taken where it serves, else the newest one.
  Result<std::optional<SearchSnapshot>> snapshot(StatePointer state, const PreparedQuery& query,
                                                 const SearchOptions& options);
  Status apply_filter(const PreparedQuery& query, const SearchOptions& options,
                      SearchSnapshot& snapshot);
  // The candidates among which the best `wanted` are. `first` (may be null): what one scan for many
  // queries found for this one, in this snapshot.
  Result<CoarseResult> generate_candidates(const SearchSnapshot& snapshot,
                                           const PreparedQuery& query, const SearchOptions& options,
                                           std::int64_t wanted, const FirstRound* first);
  Result<CoarseResult> candidates_of_vector(const SearchSnapshot& snapshot,
                                            std::span<const float> vector, const Plan& plan,
                                            std::int64_t wanted, const FirstRound* first,
                                            const StopCheck& stop);
  static Result<Plan> plan_for(const SearchOptions& options, const SearchSnapshot& snapshot,
                               std::int64_t wanted);
  // Passages ranked at first; more where grouping, phrases or exclusions leave too few hits.
  static std::int64_t first_depth(const SearchSnapshot& snapshot, const SearchOptions& options);
  // Whether all passages that may be found are candidates, and nothing has to be scanned.
  static bool takes_all(const CollectionIndex& index, const Plan& plan,
                        const SearchSnapshot& snapshot);
  // The mask of the matching rows over the codes (null: all); `plan` becomes as deep as what a
  // filter leaves has to be searched.
  Result<std::shared_ptr<const index::LadderFilter>> mask_for(const SearchSnapshot& snapshot,
                                                              Plan& plan);
  Result<SearchResult> run(const SearchSnapshot& snapshot, PreparedQuery& query,
                           const SearchOptions& options, SearchResult result,
                           const FirstRound* first = nullptr);

  // searcher_query.cc: parts of a query as vectors. What embedding cost goes into `result`.
  Result<std::vector<float>> vectors_of(const Query& asked, const DatabaseState& state,
                                        const storage::Collection& collection,
                                        const SearchOptions& options, SearchResult& result);
  Result<std::vector<float>> document_vector(const std::string& key, const DatabaseState& state,
                                             const storage::Collection& collection,
                                             const StopCheck& stop) const;
  Status take_documents(const QueryParts& parts, const DatabaseState& state,
                        const storage::Collection& collection, const StopCheck& stop,
                        std::vector<Weighted<std::vector<float>>>& to) const;
  Status take_texts(const Query& asked, const storage::Collection& collection,
                    const SearchOptions& options, std::vector<Weighted<std::vector<float>>>& like,
                    std::vector<Weighted<std::vector<float>>>& unlike, SearchResult& result);
  // The queries as vectors, in one batch; what they cost and by what goes into `results`.
  Status embed_queries(std::span<const std::string> queries, const storage::Collection& collection,
                       const SearchOptions& options, std::vector<std::vector<float>>& vectors,
                       std::vector<SearchResult>& results);
  static Status check_plan(const SearchOptions& options, const storage::Collection& collection);
  // Whether a query in words can be asked here at all.
  static Status check_query_fits(const storage::Collection& collection,
                                 const SearchOptions& options);
  // The words of a query, where the options ask for them.
  static Status take_words(const storage::Collection& collection, const SearchOptions& options,
                           PreparedQuery& query);
  [[nodiscard]] bool words_are_enough(const Status& embedded, const SearchOptions& options) const;

  // searcher_batch.cc. Every query has its place in `results`.
  Status search_together(const StatePointer& state, std::span<PreparedQuery> queries,
                         const SearchOptions& options, const storage::Collection& collection,
                         std::span<SearchResult> results);
  Result<SharedScan> scan_together(const StatePointer& state,
                                   std::span<const PreparedQuery> queries,
                                   const SearchOptions& options);
  // The rounds of some of the queries, in one thread; they stay as they are where no codes are
  // scanned.
  Status scan_group(std::span<const PreparedQuery> queries, const SearchOptions& options,
                    const SearchSnapshot& snapshot, std::span<FirstRound> rounds);

  // searcher_recall.cc: vectors to measure recall with, (count, dimensions); what they are goes
  // into the report.
  Result<std::vector<float>> recall_queries(const DatabaseState& state,
                                            const storage::Collection& collection,
                                            const RecallOptions& options, RecallReport& report);
  // Whether a measurement has room. Errors: kOutOfMemory.
  Status check_recall_room(const RecallOptions& options, const storage::Collection& collection,
                           std::int64_t queries);
  [[nodiscard]] bool prefixes_fit(const storage::Collection& collection);

  DatabaseContext& context_;
  const storage::DocumentStore& store_;
  IndexManager& indexes_;
};

}  // namespace nestor::query
