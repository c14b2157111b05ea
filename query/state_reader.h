// StateReader: what is read of one state without searching: documents, keys, counts, facts.
// Threads: safe anywhere; each call reads one state, which it takes at its beginning.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/database_context.h"
#include "query/document_query.h"
#include "query/index_manager.h"

namespace nestor::query {

class StateReader {
 public:
  StateReader(DatabaseContext& context, IndexManager& indexes)
      : context_(context), store_(*context.store), indexes_(indexes) {}

  // As Database has them.
  Result<std::string> attribute(const std::string& collection, const std::string& name);
  Result<Document> get(const std::string& key, const std::string& collection);
  Result<std::vector<std::string>> list_keys(const Filter& filter, const std::string& collection,
                                             const std::string& after, std::int64_t limit);
  Result<std::vector<UnknownField>> unknown_fields(const Filter& filter,
                                                   const std::string& collection);
  Result<std::int64_t> count(const Filter& filter, const std::string& collection);
  Result<Stats> stats();
  Result<ExportReport> export_documents(const LineWriter& write, const ExportOptions& options);
  Result<VerifyReport> verify(const std::stop_token& stop);
  Result<ErasureReport> verify_erased(const std::string& key, const std::vector<std::string>& texts,
                                      const std::string& collection, const std::stop_token& stop);
  MemoryUsage memory_usage();

 private:
  // The caches of one collection against the store.
  Status verify_caches(const DatabaseState& state, const storage::Collection& collection,
                       VerifyReport& report);

  DatabaseContext& context_;
  const storage::DocumentStore& store_;
  IndexManager& indexes_;
};

}  // namespace nestor::query
