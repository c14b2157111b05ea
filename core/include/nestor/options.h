// Types shared by the embedder and the database: roles, logging, progress, cancellation.
//
// Threads: values. A callback is called from the thread that made the call it belongs to.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "nestor/export.h"
#include "nestor/status.h"

namespace nestor {

// What a text is for; the model's card gives each its prompt. STORED: never renumber.
enum class Role : int {
  kQuery = 0,     // "search result": a question put to documents
  kDocument = 1,  // a document, with a title or none
  kQuestionAnswering = 2,
  kFactChecking = 3,
  kClassification = 4,
  kClustering = 5,
  kSentenceSimilarity = 6,
  kCodeRetrieval = 7,
};

// "query", "document", "question-answering", … as the command line spells it.
NESTOR_API const char* role_name(Role role);
// Errors: kInvalidArgument names the roles there are.
NESTOR_API Result<Role> parse_role(std::string_view name);

// How two vectors compare; more is nearer in each. STORED: never renumber.
enum class Metric : std::uint32_t {
  kCosine = 0,  // of the angle between them, -1 to 1; their lengths do not count
  kDot = 1,     // inner product of the vectors as they are
  kL2 = 2,      // minus their Euclidean distance: 0 where they are equal
};
// "cosine", "dot", "l2".
NESTOR_API const char* metric_name(Metric metric);
// Errors: kInvalidArgument names the metrics there are.
NESTOR_API Result<Metric> parse_metric(std::string_view name);

enum class LogLevel : int { kInfo = 0, kWarning = 1 };
// Must not throw and must not call back into the object that logs.
using LogCallback = std::function<void(LogLevel level, std::string_view message)>;

// How far a long call has come. Totals are 0 while they are not known.
struct Progress {
  std::int64_t passages_done = 0;
  std::int64_t passages_total = 0;
  std::int64_t tokens_done = 0;
  std::int64_t tokens_total = 0;
};
using ProgressCallback = std::function<void(const Progress&)>;

}  // namespace nestor
