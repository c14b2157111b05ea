// BeirFolder: a retrieval benchmark in BEIR's form, read as untrusted text.
//
//   corpus.jsonl    {"_id", "title"?, "text"} a line
//   queries.jsonl   {"_id", "text"} a line
//   qrels/test.tsv  a header, then query-id <tab> corpus-id <tab> score
//
// Threads: free functions and values, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestor/status.h"
#include "tools/cli/retrieval_metrics.h"

namespace nestor::cli {

struct BeirDocument {
  std::string key;
  std::string title;
  std::string text;
};

struct BeirQuery {
  std::string key;
  std::string text;
  Judgments judgments;  // of documents that were read; at least one is relevant
};

struct BeirLimits {
  std::int64_t documents = 0;  // 0: all of them
  std::int64_t queries = 0;    // 0: all that are judged
  std::uint64_t seed = 1;
};

struct BeirFolder {
  std::vector<BeirDocument> documents;  // in the corpus's order
  std::vector<BeirQuery> queries;       // in the file's order; only those with something to find
  std::int64_t queries_dropped =
      0;  // judged in the test set, but with nothing relevant left to find
};

// Reads the queries judged in qrels/test.tsv and the documents. With a limit on queries a seeded
// sample of them stays. With a limit on documents those judged for the queries that stay come first
// (in the corpus's order), then a seeded sample of the others; judgments of documents that fell out
// are forgotten, and so are queries that have nothing relevant left. Equal limits and seed give
// equal parts on every machine. Errors: kNotFound (a missing file), kInvalidArgument with file and
// line (not JSON, a field missing or of the wrong kind, a key twice, a judgment of an unknown
// query, nothing judged at all), kIoError.
Result<BeirFolder> read_beir_folder(const std::string& path, const BeirLimits& limits = {});

}  // namespace nestor::cli
