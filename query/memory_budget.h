// MemoryBudget: how OpenOptions::memory_bytes is divided among what a database holds, and what is
// asked before an index grows. The shares are fixed parts of the whole; what one of them leaves
// unused no other takes:
//   1/2   index           codes, rows in full precision, the numbers beside cached rows, and what
//                         building, training and growing hold besides
//   1/4   store           RocksDB: blocks with indexes and filters of tables, write buffers
//   1/16  filter_sets     rows that filters found
//   1/16  keyword_lists   postings
//   1/16  row_tail        cached rows that are not in a file yet: full, they are written
//   1/32  filter_masks    filters as masks over the codes
//   1/64  questions       embeddings of questions, at most OpenOptions::query_cache_bytes
//   1/64                  left over, for what malloc loses
// Not counted: the model and its workspace; mapped files, whose pages are the system's to take
// back; what one call holds while it runs (MEMORY.md).
// Threads: values.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "core/thread_pool.h"
#include "nestor/status.h"

namespace nestor::query {

struct MemoryBudget {
  static constexpr std::int64_t kLeast = std::int64_t{32} << 20;
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

  // Without a limit: what each part holds at most of itself.
  std::int64_t total = 0;  // 0: no limit of ours
  std::int64_t index = kNoLimit;
  std::int64_t store = 0;  // as StoreOptions::memory_bytes
  std::int64_t filter_sets = std::int64_t{64} << 20;
  std::int64_t keyword_lists = std::int64_t{64} << 20;
  std::int64_t row_tail = kNoLimit;
  std::int64_t filter_masks = kNoLimit;
  std::int64_t questions = 0;

  // `bytes` 0: no limit. Errors: kInvalidArgument (below 0), kOutOfMemory (below kLeast).
  static Result<MemoryBudget> of(std::int64_t bytes, std::int64_t query_cache_bytes);

  [[nodiscard]] bool limited() const { return total > 0; }
  // Rows the codes are trained on, in full precision: a quarter of the index's share.
  [[nodiscard]] std::int64_t train_rows(int width) const;
  // A tail of so many cached rows is written; a third of its share, for it is copied as it grows.
  // Of a large collection more, so that it has no more than some 500 files.
  [[nodiscard]] std::int64_t tail_rows(int width, std::int64_t passages) const;
  // Lines of an import taken at once: several times that is in memory until they are committed.
  [[nodiscard]] std::int64_t import_bytes(std::int64_t usual) const;
};

// What indexes hold as a function of their share, which decides how much training takes.
using NeededBytes = std::function<std::int64_t(const MemoryBudget& budget)>;

// The place of one collection's index in the budget of its database.
struct IndexRoom {
  MemoryBudget budget = {};
  std::int64_t others = 0;     // held by the indexes of the other collections
  ThreadPool* pool = nullptr;  // whose threads check a file; none: the calling thread alone
  // Told of what is left undone, which costs time and no answer: `what`, the same each time, and
  // `why`.
  std::function<void(const std::string& what, const Status& why)> hold_back = {};

  // Errors: kOutOfMemory: the collection, what `needed` says for `action`, the share, the budget,
  // and the least budget that is enough.
  [[nodiscard]] Status check(const std::string& collection, const std::string& action,
                             const NeededBytes& needed) const;
  // False, and told, where it does not fit.
  [[nodiscard]] bool fits(const std::string& collection, const std::string& action,
                          const std::string& otherwise, const NeededBytes& needed) const;
};

// The least budget in whole MiB, at least MemoryBudget::kLeast, whose index share holds that.
std::int64_t least_budget(const NeededBytes& needed);
// As the command line takes it: "640M", "2G".
std::string budget_text(std::int64_t bytes);

}  // namespace nestor::query
