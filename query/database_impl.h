// Database::Impl: the parts of one open database, and the gate that every call comes through.
// Threads: the parts say so each; `parts` goes when the gate is closed and no call is inside.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>

#include "nestor/database.h"
#include "query/call_gate.h"
#include "query/database_context.h"
#include "query/index_manager.h"
#include "query/open_database.h"
#include "query/searcher.h"
#include "query/state_reader.h"
#include "query/writer.h"

namespace nestor {

struct Database::Impl {
  struct Parts {
    Parts(std::unique_ptr<storage::DocumentStore> store, query::EncoderFactory encoder,
          const OpenOptions& options, const query::MemoryBudget& budget,
          const query::Upkeep& upkeep)
        : context(std::move(store), std::move(encoder), options, budget),
          indexes(context, upkeep.list_rows),
          writer(context, indexes),
          searcher(context, indexes),
          reader(context, indexes) {}

    query::DatabaseContext context;
    query::IndexManager indexes;
    query::Writer writer;
    query::Searcher searcher;
    query::StateReader reader;
  };

  Impl();
  // Closes the database; in a forked child, whose parent has it open, it leaves everything alone.
  ~Impl();
  // Ok inside an open handle of this process, or why it cannot be used.
  [[nodiscard]] Status check(const query::CallGate::Pass& pass) const;
  Status close();

  const pid_t owner;
  std::mutex closing;
  query::CallGate gate;
  std::unique_ptr<Parts> parts;
};

}  // namespace nestor
