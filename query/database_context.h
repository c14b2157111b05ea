// DatabaseContext: what the searcher, the writer and the index manager of one open database share.
//
// Locks, in the order in which they are taken; no callback of the caller's runs under any of them:
//   reembedding     one reembed at a time
//   IndexSlot::files  who writes or removes cache files of one collection
//   commit          one change of the store: prepare, write, publish; never held while text is
//                   embedded or an index is built
//   the rest        each guards one cache and is held for moments
// A search takes none of the first three.
// Threads: the members say so each.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "core/thread_pool.h"
#include "nestor/database.h"
#include "query/database_state.h"
#include "query/keyword_search.h"
#include "query/memory_budget.h"
#include "query/question_cache.h"
#include "query/row_filter.h"
#include "query/text_encoder.h"
#include "storage/document_store.h"

namespace nestor::query {

// The encoder, loaded when it is first needed. Threads: safe anywhere.
class EncoderSlot {
 public:
  explicit EncoderSlot(EncoderFactory factory) : factory_(std::move(factory)) {}
  // Errors: those of the factory; the next call tries again.
  Result<EncoderPointer> get();
  // Bytes of the model's file; 0 where it is not loaded, or is no file.
  [[nodiscard]] std::int64_t file_bytes() const;

 private:
  [[nodiscard]] EncoderPointer loaded() const;

  std::mutex loading_;  // held while the factory works; before mutex_
  EncoderFactory factory_;
  mutable std::mutex mutex_;  // guards encoder_; held for moments
  EncoderPointer encoder_;
};

// What a memory budget had no place for. Threads: safe anywhere.
class DeferredWork {
 public:
  // Logged the first time.
  void note(const std::string& what, const Status& why, const LogCallback& log);
  [[nodiscard]] std::vector<std::string> sentences() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> why_;  // by what it is
};

// A slot whose files are locked while the object lives.
struct HeldSlot {
  std::shared_ptr<IndexSlot> slot;
  std::unique_lock<std::timed_mutex> files;
};

struct DatabaseContext {
  DatabaseContext(std::unique_ptr<storage::DocumentStore> opened, EncoderFactory factory,
                  const OpenOptions& options, const MemoryBudget& divided);

  // The collection in `state`. Errors: kNotFound names those there are; the default one may be
  // missing.
  Result<std::optional<storage::Collection>> find(const DatabaseState& state,
                                                  const std::string& name) const;
  // The same with what searches need, made where the collection was not in use yet. Null where the
  // default one is missing.
  Result<CollectionStatePointer> use(const StatePointer& state, const std::string& name);
  // The slot of a collection's index, the same for all of its states.
  std::shared_ptr<IndexSlot> slot_of(std::uint32_t collection_id);
  // The same with its files locked.
  HeldSlot hold_slot(std::uint32_t collection_id);
  // The collection gets another slot from here on. REQUIRES: the files of `slot`, the collection's
  // own, are locked by the caller.
  void retire_slot(std::uint32_t collection_id, IndexSlot& slot);
  void log(LogLevel level, const std::string& message) const;

  const MemoryBudget budget;
  const LogCallback log_callback;
  const std::unique_ptr<storage::DocumentStore> store;
  PublishedState published;
  std::mutex commit;
  std::mutex reembedding;
  EncoderSlot encoder;
  const std::shared_ptr<FilterBudget> filter_budget;
  MaskCache masks;
  KeywordSearch keywords;
  QuestionCache query_cache;
  DeferredWork deferred;
  ThreadPool pool;  // of batches and scans

 private:
  std::mutex slots_mutex_;
  std::map<std::uint32_t, std::shared_ptr<IndexSlot>> slots_;
};

}  // namespace nestor::query
