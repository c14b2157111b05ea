// Decoded postings of terms, and a bounded cache of them. Threads: a PostingList is read-only once
// made; a PostingCache is safe anywhere.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/stop_check.h"
#include "nestor/status.h"
#include "storage/document_store.h"

namespace nestor::query {

// Parallel arrays, by row id.
struct PostingList {
  std::uint64_t sequence = 0;  // of the collection it is level with
  Hash128 digest;
  std::vector<std::uint64_t> rows;
  std::vector<std::uint32_t> frequencies;
  std::vector<std::uint32_t> lengths;  // words of the row
  std::vector<std::uint64_t> offsets;  // where a row's positions begin in `positions`
  std::string positions;               // varints: gaps

  [[nodiscard]] std::size_t size() const { return rows.size(); }
  [[nodiscard]] std::size_t bytes() const;
  void append(const storage::Posting& posting);
  // Index of a row, or size().
  [[nodiscard]] std::size_t find(std::uint64_t row_id) const;
  [[nodiscard]] std::vector<std::uint32_t> positions_at(std::size_t index) const;
};

using PostingListPointer = std::shared_ptr<const PostingList>;

class PostingCache {
 public:
  explicit PostingCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  // The lists of `terms`, made by `analysis`, in this view, in their order; an unknown term has an
  // empty one. A list of an earlier commit is brought level by what came since. Errors: kDataLoss,
  // kIoError, those of `stop`, asked before each list. Cost: from the store about 1 us a posting;
  // kept ones nothing.
  Result<std::vector<PostingListPointer>> get(const storage::DocumentStore& store,
                                              const storage::DocumentStore::View& view,
                                              const storage::Collection& collection,
                                              const std::string& analysis,
                                              const std::vector<std::string>& terms,
                                              const StopCheck& stop = {});
  [[nodiscard]] std::size_t bytes() const;

 private:
  using Key = std::tuple<std::uint32_t, std::string, std::string>;  // collection, analysis, term
  struct Entry {
    PostingListPointer list;
    std::list<Key>::iterator use;
  };
  PostingListPointer find(const Key& key);
  void put(const Key& key, const PostingListPointer& list);

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<Key, Entry> entries_;
  std::list<Key> uses_;  // the latest first
  std::size_t bytes_ = 0;
};

}  // namespace nestor::query
