// What `nestor eval` does between reading a benchmark and printing its figures: documents and
// queries through the real database, a plan and the exact search side by side. Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "nestor/status.h"
#include "tools/cli/beir_folder.h"
#include "tools/cli/context.h"
#include "tools/cli/retrieval_metrics.h"
#include "tools/cli/trec_run.h"

namespace nestor::cli {

struct EvalPlan {
  SearchMode mode = SearchMode::kVector;  // the others leave the widths to the planner
  bool leave_to_planner = false;
  int coarse_width = 0;  // 0, 0: the model's narrowest and its full one; equal ones: exact at it
  int rerank_width = 0;
};

struct EvalSetup {
  std::vector<EvalPlan> plans;       // at least one
  std::int64_t candidate_count = 0;  // 0: the planner's choice
  bool join_title = false;  // "title text" with the title slot empty, as published runs have it
  bool passages = false;    // split as the product does; a document scores as its best passage
  std::string precision;    // as asked for; empty: that of the model in place
  Role role = Role::kQuery;
};

// A ranking of documents for each query, best first, and what it took.
struct EvalRun {
  std::vector<std::vector<RankedDocument>> rankings;  // at most 100 documents each
  std::vector<std::vector<double>> short_lists;       // scores of the best 10 passages, a query
  RetrievalScores scores;
  // Mean over queries: which part of the exact search's 10 best passages is among the plan's 10
  // best, asked for 10 as a user does.
  double recall_against_exact = 1;
  Explanation plan;  // of the last query
  double seconds = 0;
};

struct EvalReport {
  std::vector<EvalRun> runs;  // one a plan
  EvalRun exact;
  ModelInfo model;
  std::int64_t passages = 0;
  AddReport added;
  std::int64_t queries_truncated = 0;
  double embed_documents_seconds = 0;
  double embed_queries_seconds = 0;
};

// Puts the documents into a collection of `database` named after the setup, embeds the queries in
// one batch and searches. Documents of an earlier call that are the same are not embedded again;
// others are removed from that collection. Errors: those of Database and Embedder.
Result<EvalReport> evaluate(Database& database, const BeirFolder& folder, const EvalSetup& setup,
                            Context& context);

}  // namespace nestor::cli
