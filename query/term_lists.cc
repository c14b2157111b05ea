#include "query/term_lists.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "core/macros.h"

namespace nestor::query {
namespace {

using storage::Posting;

std::shared_ptr<PostingList> empty_list(const PostingSource& source) {
  auto list = std::make_shared<PostingList>();
  list->sequence = source.collection.sequence;
  list->digest = source.collection.digest;
  return list;
}

PostingListPointer intersection(const PostingSource& source,
                                const std::vector<PostingListPointer>& lists) {
  auto result = empty_list(source);
  const PostingList& first = *lists.front();
  for (std::size_t i = 0; i < first.size(); ++i) {
    Posting posting = first.posting_at(i);
    for (std::size_t other = 1; other < lists.size() && !posting.positions.empty(); ++other) {
      const std::size_t at = lists[other]->find(posting.row_id);
      std::vector<std::uint32_t> both;
      if (at < lists[other]->size()) {
        const std::vector<std::uint32_t> here = lists[other]->positions_at(at);
        std::set_intersection(posting.positions.begin(), posting.positions.end(), here.begin(),
                              here.end(), std::back_inserter(both));
      }
      posting.positions = std::move(both);
    }
    if (!posting.positions.empty()) result->append(posting);
  }
  return result;
}

PostingListPointer union_of_two(const PostingSource& source, const PostingList& a,
                                const PostingList& b) {
  auto result = empty_list(source);
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const bool from_a = i < a.size() && (j == b.size() || a.rows[i] <= b.rows[j]);
    const bool from_b = j < b.size() && (i == a.size() || b.rows[j] <= a.rows[i]);
    if (!from_a || !from_b) {
      result->append(from_a ? a.posting_at(i++) : b.posting_at(j++));
      continue;
    }
    Posting posting = a.posting_at(i++);
    const std::vector<std::uint32_t> others = b.positions_at(j++);
    std::vector<std::uint32_t> all;
    std::set_union(posting.positions.begin(), posting.positions.end(), others.begin(), others.end(),
                   std::back_inserter(all));
    posting.positions = std::move(all);
    result->append(posting);
  }
  return result;
}

// Pairs of lists, then pairs of those: each posting is copied log2(lists) times.
PostingListPointer union_of(const PostingSource& source, std::vector<PostingListPointer> lists) {
  std::erase_if(lists, [](const PostingListPointer& list) { return list->size() == 0; });
  if (lists.empty()) return empty_list(source);
  while (lists.size() > 1) {
    std::vector<PostingListPointer> joined;
    for (std::size_t i = 0; i + 1 < lists.size(); i += 2)
      joined.push_back(union_of_two(source, *lists[i], *lists[i + 1]));
    if (lists.size() % 2 == 1) joined.push_back(lists.back());
    lists = std::move(joined);
  }
  return lists.front();
}

}  // namespace

Result<PostingListPointer> TermLists::of(const TermsTogether& together) {
  std::vector<PostingListPointer> lists;
  for (const TermLookup& lookup : together) {
    NESTOR_ASSIGN_OR_RETURN(PostingListPointer list, cache_.get(source_, lookup));
    lists.push_back(std::move(list));
  }
  return lists.size() == 1 ? lists.front() : intersection(source_, lists);
}

Result<PostingListPointer> TermLists::of(const TermChoice& choice) {
  std::vector<PostingListPointer> lists;
  for (const TermsTogether& together : choice) {
    NESTOR_ASSIGN_OR_RETURN(PostingListPointer list, of(together));
    lists.push_back(std::move(list));
  }
  return union_of(source_, std::move(lists));
}

Result<PostingListPointer> TermLists::of(const QueryTerm& term) {
  NESTOR_ASSIGN_OR_RETURN(PostingListPointer list, of(term.any));
  if (list->size() == 0 && !term.otherwise.empty()) {
    NESTOR_ASSIGN_OR_RETURN(list, of(term.otherwise));
  }
  if (list->size() > 0 || term.inside.empty()) return list;
  return containing(term.inside);
}

Result<PostingListPointer> TermLists::containing(const std::string& stem) {
  NESTOR_ASSIGN_OR_RETURN(const LongWordsPointer words, cache_.long_words(source_));
  TermChoice choice;
  for (std::string& term : words->containing(stem, kMostContaining))
    choice.push_back({{.term = std::move(term), .forms = true}});
  return of(choice);
}

}  // namespace nestor::query
