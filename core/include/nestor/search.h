// What a search is asked and what it gives. Threads: values.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/document.h"
#include "nestor/export.h"
#include "nestor/filter.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor {

inline constexpr const char* kDefaultCollection = "default";

// What ranks the passages. In the modes with words the query's text is read so:
//
//   word        by its stem: "university" finds "universities", and "universal" as well
//   "a b"       required, and as written: these words in this order, case and accents folded, no
//               stems; punctuation between them does not matter. One word in quotes too, and
//               quotation marks of all kinds: “a b”, „a b“, «a b»
//   +word       required, as written
//   -word       excluded, as written; -"a b" excludes the phrase. Options of commands are no
//               exclusions, they are text. A minus excludes only where it
//               - stands at the beginning of the query or after a space, and
//               - is followed by a word of at least three letters with a vowel among them (digits,
//                 points, apostrophes, underscores and hyphens may stand within it), or by a word
//                 with a letter that is not ASCII.
//               So -folder excludes; -f, -rf, -it, -xzf, -O2, -1, --amend and -std=c++20 do not.
//               A passage that has the option itself ("-folder" after a space) is not excluded, so
//               that "find -name x" keeps its answer. -"folder" excludes it too, "-folder" is text.
//
// Explanation::required and excluded say what was understood. + follows the same rule as -.
enum class SearchMode : int {
  kVector = 0,   // cosine of the embeddings: meaning
  kKeyword = 1,  // BM25 of the words: names, codes, phrases
  kHybrid = 2,   // both, fused
};
// "vector", "keyword", "hybrid".
NESTOR_API const char* search_mode_name(SearchMode mode);
// Errors: kInvalidArgument names the modes there are.
NESTOR_API Result<SearchMode> parse_search_mode(std::string_view name);

// How hybrid mode makes one order of two.
struct FusionOptions {
  // kWeighted: w * cosine between the lowest and the highest of the candidates
  //            + (1 - w) * BM25 over the most that any passage could have.
  // kReciprocalRank: w / (constant + rank by cosine) + (1 - w) / (constant + rank by BM25).
  enum class Method : int { kWeighted = 0, kReciprocalRank = 1 };
  Method method = Method::kWeighted;
  // w, 0 to 1; empty: the method's own, which is kWeightedVectorWeight or kRankVectorWeight.
  std::optional<double> vector_weight = {};
  double rank_constant = 60;

  static constexpr double kWeightedVectorWeight = 0.83;  // measured (DECISIONS.md, 30)
  static constexpr double kRankVectorWeight = 0.5;       // both rankings count alike
  [[nodiscard]] double weight() const {
    return vector_weight.value_or(method == Method::kWeighted ? kWeightedVectorWeight
                                                              : kRankVectorWeight);
  }
};

struct Hit;

// What an own second opinion is asked: candidates best first, with text, title and metadata.
struct RerankRequest {
  std::string_view query;           // the texts of the question, a line each; empty for vectors
  std::span<const Hit> candidates;  // at most SearchOptions::rerank_count
  // The search's own; it cannot stop the callback, which may look at them.
  std::stop_token stop;
  std::chrono::steady_clock::time_point deadline;
};
// One finite score per candidate, in their order; more is better. Called once per search, from the
// thread that searches (in a batch from several at once), with no lock held: it may search the same
// database. What it throws becomes kInternal.
using RerankCallback = std::function<Result<std::vector<double>>(const RerankRequest& request)>;

struct SearchOptions {
  std::int64_t k = 10;  // passages to return, 1 to 10,000
  std::string collection = kDefaultCollection;
  SearchMode mode = SearchMode::kVector;
  // Only passages of documents that match; k of them when k match. Filter::parse reads text.
  Filter filter = {};
  FusionOptions fusion = {};
  // The share of the exact best k that the planner aims to find, above 0 to 1. It is measured on
  // the collection itself from 10,000 passages on; 1: an exact search.
  double recall_target = .99;
  // Every passage that may be found is scored at rerank_width, whatever the other settings.
  bool exact = false;
  // 0: chosen by the planner, which goes over codes of one bit a component. Otherwise one of the
  // collection's widths, in full precision; equal widths mean an exact search.
  int coarse_width = 0;
  int rerank_width = 0;
  // Candidates of the coarse pass that are ranked again; 0: chosen by the planner. At least k are
  // kept.
  std::int64_t candidate_count = 0;
  std::int64_t offset = 0;  // passages to pass over, best first; with k at most 10,000
  // Passages with a lower score are left out: for cosines -1 to 1; for the inner product any
  // number; for distances minus the greatest one that is near enough.
  std::optional<double> min_score = {};
  std::int64_t per_document = 0;  // the most passages of one document; 0: any number
  // Variety (maximal marginal relevance): 1 ranks by relevance alone, 0 by difference from the
  // passages before alone.
  double diversity_lambda = 1;
  // About how long Hit::snippet is, at most 16 MiB; 0: none is made. Cost: some 0.2 ms a kilobyte
  // of passage.
  std::int64_t snippet_bytes = 0;
  Role role = Role::kQuery;  // the prompt of the question
  // Puts the first rerank_count hits into an order of its own, after everything above has chosen
  // them and before offset and k cut; hits behind them keep their order.
  RerankCallback rerank = {};
  std::int64_t rerank_count = 50;  // 1 to 10,000
  // The search ends with kDeadlineExceeded once this has passed, and with kCancelled once asked to
  // stop. Both are looked at before and after the filter, the embedding, a scan of codes (5 ms a
  // million passages) and the rerank callback; and within the rest after every 1,024 plain rows,
  // 4,096 passages with the words, a word's list, 256 rows ranked, a pick for variety, a hit. So
  // the end comes late by the longest of these: mostly one embedding (30 ms for 256 tokens), a
  // filter never met before, or the callback. The search that loads or builds a collection's index,
  // its first one, does so to the end; those that wait for it look at their deadline and token.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::stop_token stop = {};
};

struct Hit {
  std::string key;           // of the document
  std::int64_t passage = 0;  // its passage, from 0
  // Exact, at the full width, whatever the plan or the mode was: the cosine; in collections of
  // another metric the inner product, or minus the Euclidean distance. More is nearer. What vector
  // mode ranks by. In keyword mode 0 where the collection keeps user vectors and none was given.
  double score = 0;
  // BM25, what keyword mode ranks by; 0 in vector mode and where no word of the query stands.
  double keyword_score = 0;
  double fused_score = 0;                   // what hybrid mode ranks by; 0 in the others
  std::optional<double> rerank_score = {};  // what SearchOptions::rerank gave it
  std::string title;                        // of the document
  std::string text;                         // of the passage
  std::string heading_path;                 // "Chapter > Section", empty when there is none
  Metadata metadata;                        // of the document
  ByteRange bytes;                          // of the passage in the document's text
  ByteRange source_bytes;                   // of the passage in the file (Document::source)
  LineRange lines;
  // Of `text`: the part that shows why it was found, and the query's words in it.
  ByteRange snippet = {};
  std::vector<ByteRange> matches = {};
};

// What a search did, for people who ask why.
struct Explanation {
  SearchMode mode = SearchMode::kVector;
  Metric metric = Metric::kCosine;  // of the collection
  int query_vectors = 0;            // searched for: 1, or a part each (Combination::kBest)
  int query_cache_hits = 0;         // texts of the question whose embedding was kept from before
  int coarse_width = 0;             // 0 in keyword mode
  int coarse_bits = 0;              // of a component; 32: full precision
  int rerank_width = 0;
  std::int64_t scan_count = 0;       // codes: passages whose whole code was scored
  std::int64_t candidate_count = 0;  // ranked at rerank_width
  std::int64_t keyword_count = 0;    // found by words
  std::int64_t passages = 0;         // in the collection
  std::int64_t matching = 0;         // passages that the filter leaves
  double recall_target = 0;          // that the plan was chosen for; 0: the caller named it
  std::int64_t calibrated_on = 0;    // passages, when what the plan needs was measured; 0: never
  std::int64_t exact_count = 0;      // of the candidates: scored from the stored rows themselves
  bool exact = false;  // the plan cannot miss: every passage was scored at rerank_width
  // Of the modes with words: what a passage had to have and what it could not have, as typed,
  // without signs and quotes.
  std::vector<std::string> required = {};
  std::vector<std::string> excluded = {};
  std::string backend;  // of the query's embedding; empty for a given vector
  std::string precision;
  double embed_seconds = 0;
  double filter_seconds = 0;
  double coarse_seconds = 0;
  double rerank_seconds = 0;
  double keyword_seconds = 0;
  double fetch_seconds = 0;
  double callback_seconds = 0;  // of SearchOptions::rerank
};

struct SearchResult {
  // Best first by the rerank width, by BM25, by the fused score or as the callback has it; fewer
  // than k only if the collection, the words or min_score give no more.
  std::vector<Hit> hits;
  int query_token_count = 0;  // of all texts; 0 for a given vector
  bool query_truncated = false;
  Explanation explain;
};

}  // namespace nestor
