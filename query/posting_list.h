// Decoded postings of terms, and a bounded cache of them. Threads: a PostingList is read-only once
// made; a PostingCache is safe anywhere.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/stop_check.h"
#include "nestor/status.h"
#include "query/term_forms.h"
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
  // REQUIRES: a row above the last one.
  void append(const storage::Posting& posting);
  [[nodiscard]] storage::Posting posting_at(std::size_t index) const;
  // Index of a row, or size().
  [[nodiscard]] std::size_t find(std::uint64_t row_id) const;
  [[nodiscard]] std::vector<std::uint32_t> positions_at(std::size_t index) const;
};

using PostingListPointer = std::shared_ptr<const PostingList>;
// The different stems of long words in a collection.
struct LongWords {
  std::uint64_t sequence = 0;  // of the collection it belongs to
  Hash128 digest;
  std::string analysis;
  // As the terms begin: each with a line break before it and one behind the last.
  std::string text;

  // The first `most` that contain the stem and are longer.
  [[nodiscard]] std::vector<std::string> containing(std::string_view stem, std::size_t most) const;
};
using LongWordsPointer = std::shared_ptr<const LongWords>;

// What a cache is asked for: one state of one collection.
struct PostingSource {
  const storage::DocumentStore& store;
  const storage::DocumentStore::View& view;
  const storage::Collection& collection;
  const std::string& analysis;  // what made the terms
  const StopCheck& stop;        // asked before each list that is read
  // What came since an earlier sequence; the same for most lists.
  std::map<std::uint64_t, std::optional<storage::Changes>> changes_since = {};
};

class PostingCache {
 public:
  explicit PostingCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  // The list of a lookup; an unknown term has an empty one, the forms of a stem have one together.
  // A list of an earlier commit is brought level by what came since. Errors: kDataLoss, kIoError,
  // those of `stop`. Cost: from the store about 1 us per posting; kept ones nothing.
  Result<PostingListPointer> get(PostingSource& source, const TermLookup& lookup);
  // Kept until the next commit. Errors: as above. Cost: from the store some us per different word.
  Result<LongWordsPointer> long_words(PostingSource& source);
  [[nodiscard]] std::size_t bytes() const;

 private:
  // Collection, analysis, term, whether with its forms.
  using Key = std::tuple<std::uint32_t, std::string, std::string, bool>;
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
  std::map<std::uint32_t, LongWordsPointer> long_words_;  // of each collection, in its last state
};

}  // namespace nestor::query
