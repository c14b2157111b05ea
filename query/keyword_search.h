// Keyword search over the postings of a collection: BM25 over passages, phrases, words left out.
// Exact: every posting of every term counts. Threads: safe anywhere.
//
// Source: Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009; the idf with 1 added
// under the logarithm, as Lucene has it, is never negative:
//   sum over terms of ln(1 + (N - n + .5) / (n + .5)) * f (k1 + 1) / (f + k1 (1 - b + b l / mean))
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/stop_check.h"
#include "nestor/status.h"
#include "query/keyword_query.h"
#include "query/posting_list.h"
#include "storage/document_store.h"

namespace nestor::query {

struct Bm25 {
  double k1 = 1.2;
  double b = 0.75;
};

struct KeywordOptions {
  std::int64_t k = 10;
  std::function<bool(std::uint64_t row_id)> filter = {};  // empty: all rows
  Bm25 bm25 = {};
  StopCheck stop = {};  // asked after each term's list and every 4,096 rows
};

struct KeywordHit {
  std::uint64_t row_id = 0;
  double score = 0;
  bool operator==(const KeywordHit&) const = default;
};

struct KeywordRanking {
  std::vector<KeywordHit> hits;  // best first
  double bound = 0;              // no passage can score as much for this query
};

class KeywordSearch {
 public:
  static constexpr std::size_t kCacheBytes = std::size_t{64} << 20;
  explicit KeywordSearch(std::size_t cache_bytes = kCacheBytes) : cache_(cache_bytes) {}

  // The best k, of equal scores the lower row id first; nothing for a query without a term that
  // scores. Errors: kFailedPrecondition (the postings are not complete: what to do), those of
  // `stop`, kDataLoss, kIoError. Cost: about 5 ns a posting once its list is in the cache.
  Result<KeywordRanking> search(const storage::DocumentStore& store,
                                const storage::DocumentStore::View& view,
                                const storage::Collection& collection, const KeywordQuery& query,
                                const KeywordOptions& options);
  // The scores of these rows, as search() has them: 0 where none of the words stands, nothing where
  // a required phrase is missing or an excluded one stands.
  Result<std::vector<std::optional<double>>> scores(const storage::DocumentStore& store,
                                                    const storage::DocumentStore::View& view,
                                                    const storage::Collection& collection,
                                                    const KeywordQuery& query,
                                                    std::span<const std::uint64_t> rows,
                                                    const Bm25& bm25 = {});
  [[nodiscard]] std::size_t cached_bytes() const { return cache_.bytes(); }

 private:
  PostingCache cache_;
};

}  // namespace nestor::query
