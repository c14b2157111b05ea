// TermLists: the postings of what a query asks for, put together from those of its lookups.
// Threads: an object belongs to one thread; the cache behind it is safe anywhere.
#pragma once

#include <string>

#include "nestor/status.h"
#include "query/keyword_query.h"
#include "query/posting_list.h"

namespace nestor::query {

class TermLists {
 public:
  // All are borrowed.
  TermLists(PostingCache& cache, PostingSource& source) : cache_(cache), source_(source) {}

  // The positions at which all lookups of one element of the choice stand. Errors: those of
  // PostingCache. Cost: a single lookup that of the cache, others a pass over their lists.
  Result<PostingListPointer> of(const TermChoice& choice);
  // What scores: see QueryTerm. Errors: as above.
  Result<PostingListPointer> of(const QueryTerm& term);

 private:
  Result<PostingListPointer> of(const TermsTogether& together);
  // Of all long words that contain the stem; of the first kMostContaining of them.
  Result<PostingListPointer> containing(const std::string& stem);

  PostingCache& cache_;
  PostingSource& source_;
};

// The long words that a query's word was found in, at most.
inline constexpr std::size_t kMostContaining = 256;

}  // namespace nestor::query
