// Measuring recall: questions made from a collection, exact answers to compare with, what a plan
// found of them. Threads: free functions, safe anywhere the store is.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nestor/recall.h"
#include "nestor/search.h"
#include "storage/document_store.h"

namespace nestor::query {

// Errors: kInvalidArgument, which names the option.
Status check_recall(const RecallOptions& options);

// First sentences of passages spread over the collection, at most `count`. Errors: those of reading
// the store. Cost: a pass over the rows.
Result<std::vector<std::string>> sample_sentences(const storage::DocumentStore& store,
                                                  const storage::DocumentStore::View& view,
                                                  const storage::Collection& collection,
                                                  std::int64_t count);
// Their vectors with noise, which stand in for questions where there is no model. (count, width)
Result<std::vector<float>> sample_vectors(const storage::DocumentStore& store,
                                          const storage::DocumentStore::View& view,
                                          const storage::Collection& collection,
                                          std::int64_t count);

using PassageName = std::pair<std::string, std::int64_t>;  // key, passage
// Searches for question `i` with these options.
using AskFunction = std::function<Result<SearchResult>(std::size_t i, const SearchOptions&)>;

// The exact best k of each question, by name. Errors: those of reading the store.
Result<std::vector<std::set<PassageName>>> exact_passages(const storage::DocumentStore& store,
                                                          const storage::DocumentStore::View& view,
                                                          const storage::Collection& collection,
                                                          std::span<const float> questions,
                                                          std::int64_t k);

// The same by exact searches, for what a filter leaves. Errors: those of `ask`.
Result<std::vector<std::set<PassageName>>> searched_passages(std::size_t questions,
                                                             const RecallOptions& options,
                                                             const AskFunction& ask);
// Asks every question under every plan, in turns, and fills in what `plans` leave open.
Status measure_plans(const std::vector<std::set<PassageName>>& truth, const RecallOptions& options,
                     const AskFunction& ask, RecallReport& report);

}  // namespace nestor::query
