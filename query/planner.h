// Planner: from what the caller asked and what the collection is, to widths and a candidate count.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>

#include "index/calibration.h"
#include "nestor/database.h"

namespace nestor::query {

struct Plan {
  bool codes = false;    // the coarse pass goes over codes, else over full-precision prefixes
  int coarse_width = 0;  // that it scores first: codes: of the scan
  int rerank_width = 0;
  std::int64_t scan_count = 0;       // codes: rows whose whole code is scored
  std::int64_t candidate_count = 0;  // ranked at rerank_width
  double recall_target = 0;          // that the planner aimed at; 0: the caller named the plan
  std::int64_t calibrated_on = 0;    // passages, when the plan was measured; 0: built in
  bool exact = false;                // every passage that may be found is scored at rerank_width
};

// How many of the best passages are fetched: offset and k, and at least what a rerank callback is
// to see.
std::int64_t selected_hits(const SearchOptions& options);
// How many ranked passages the options need at first: offset and k, and more where some will be
// dropped (per_document, diversity).
std::int64_t wanted_hits(const SearchOptions& options);

// The plan for `passages` that may be found: all of the collection, or what a filter leaves.
// A coarse width or none: codes where there are any and no width was named. `calibration` (null:
// the built-in plans) says what the codes need for the recall asked for.
// Errors: kInvalidArgument (a width the collection does not have, all of them named; coarse wider
// than rerank).
// The best `wanted` are to be among the candidates (0: wanted_hits).
Result<Plan> make_plan(const SearchOptions& options, int full_width, bool matryoshka,
                       std::int64_t passages, const index::Calibration* calibration = nullptr,
                       std::int64_t wanted = 0);

// Twice as deep, as far as there are passages: for what a filter leaves, whose best lie further
// from the question than the best of all; and where the scores say that a plan was too shallow.
void deepen(Plan& plan, std::int64_t passages);

}  // namespace nestor::query
