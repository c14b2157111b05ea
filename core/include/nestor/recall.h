// Recall, measured on a person's own data: what share of the exact best passages each plan finds,
// and how long it takes. Threads: values.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/filter.h"
#include "nestor/search.h"

namespace nestor {

struct RecallOptions {
  std::string collection = kDefaultCollection;
  std::int64_t k = 10;  // passages that count, 1 to 1,000
  // The person's own questions. Empty: `sample` are made, each the first sentence of a passage,
  // spread over the collection; without a model, its vector with noise.
  std::vector<std::string> questions = {};
  std::int64_t sample = 100;  // 1 to 10,000
  // What is wanted; a plan that is short of it is not suggested.
  double recall_target = .99;
  // Only passages of documents that match are searched. Cost: the exact answers are then searched
  // for one by one, over the rows in memory.
  Filter filter = {};
  std::stop_token stop = {};
};

struct MeasuredPlan {
  // What makes a search take this plan: SearchOptions of the same names.
  double recall_target = 0;  // 0: the plan is named by its width
  int coarse_width = 0;
  std::int64_t scan_count = 0;
  std::int64_t candidate_count = 0;
  double recall = 0;        // mean over the questions
  double least_recall = 0;  // of the question served worst
  double p50_seconds = 0;   // of a whole search, the text's embedding left out
  double p95_seconds = 0;
};

struct RecallReport {
  std::int64_t passages = 0;
  std::int64_t questions = 0;
  std::string asked;                // what the questions were, in words
  std::int64_t calibrated_on = 0;   // passages, when plans were measured; 0: they are built in
  std::vector<MeasuredPlan> plans;  // cheapest target first; the first with a width last
  std::int64_t suggested = -1;      // position in plans of the fastest that is good enough
};

}  // namespace nestor
