#include "query/keyword_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

#include "core/macros.h"
#include "query/passage_terms.h"
#include "query/term_lists.h"

namespace nestor::query {
namespace {

// Rows scored together: their sums stay in the first-level caches.
constexpr std::uint64_t kWindow = 4'096;
// Passages up to this length find their denominator in a table.
constexpr std::size_t kTableLengths = 1'024;

// A phrase with the lists of its words.
struct PhraseLists {
  std::vector<std::uint32_t> offsets;
  std::vector<PostingListPointer> lists;
  PostingListPointer unless;  // rows that have this are not excluded; null: none

  [[nodiscard]] bool spares(std::uint64_t row_id) const {
    return unless != nullptr && unless->find(row_id) < unless->size();
  }
};

bool contains(const PhraseLists& phrase, std::uint64_t row_id) {
  std::vector<std::uint32_t> starts;
  for (std::size_t i = 0; i < phrase.lists.size(); ++i) {
    const PostingList& list = *phrase.lists[i];
    const std::size_t at = list.find(row_id);
    if (at == list.size()) return false;
    if (phrase.lists.size() == 1) return true;
    std::vector<std::uint32_t> next;
    for (const std::uint32_t position : list.positions_at(at)) {
      if (position < phrase.offsets[i]) continue;
      const std::uint32_t start = position - phrase.offsets[i];
      if (i == 0 || std::binary_search(starts.begin(), starts.end(), start)) next.push_back(start);
    }
    if (next.empty()) return false;
    starts = std::move(next);
  }
  return true;
}

Result<PhraseLists> lists_of(const Phrase& phrase, TermLists& lists) {
  PhraseLists found;
  for (const PhraseWord& word : phrase.words) {
    NESTOR_ASSIGN_OR_RETURN(PostingListPointer list, lists.of(word.word));
    found.lists.push_back(std::move(list));
    found.offsets.push_back(word.offset);
  }
  if (!phrase.unless.empty()) {
    NESTOR_ASSIGN_OR_RETURN(found.unless, lists.of(phrase.unless));
  }
  return found;
}

// What the postings answer for, and whether they are those of this query's analysis.
Result<storage::TermTotals> totals_for(const storage::DocumentStore& store,
                                       const storage::DocumentStore::View& view,
                                       const storage::Collection& collection,
                                       const KeywordQuery& query) {
  NESTOR_ASSIGN_OR_RETURN(storage::TermTotals totals, store.term_totals(view, collection));
  if (collection.passages == 0) return totals;
  const std::string remedy = fmt::format(
      "open the database for writing once, which indexes them again (nestor compact {}), or search "
      "by vector",
      store.path());
  if (totals.complete && totals.analysis != query.analysis) {
    return Status(StatusCode::kFailedPrecondition,
                  fmt::format("the words of collection '{}' were indexed by {}; this program looks "
                              "them up by {}; {}",
                              collection.name, describe_analysis(totals.analysis),
                              describe_analysis(query.analysis), remedy));
  }
  if (!totals.complete) {
    return Status(
        StatusCode::kFailedPrecondition,
        fmt::format("the words of collection '{}' are not indexed for all of its passages "
                    "(it was made by format 1, or its language was changed); {}",
                    collection.name, remedy));
  }
  return totals;
}

// Everything needed of one view.
class Matcher {
 public:
  static Result<Matcher> make(PostingCache& cache, const storage::DocumentStore& store,
                              const storage::DocumentStore::View& view,
                              const storage::Collection& collection, const KeywordQuery& query,
                              const Bm25& bm25, const StopCheck& stop) {
    NESTOR_ASSIGN_OR_RETURN(const storage::TermTotals totals,
                            totals_for(store, view, collection, query));
    PostingSource source{.store = store,
                         .view = view,
                         .collection = collection,
                         .analysis = totals.analysis,
                         .stop = stop};
    TermLists lists(cache, source);
    Matcher matcher;
    for (const QueryTerm& term : query.terms) {
      NESTOR_ASSIGN_OR_RETURN(PostingListPointer list, lists.of(term));
      if (term.beside && list->size() == 0) continue;
      matcher.lists_.push_back(std::move(list));
    }
    matcher.prepare(totals, bm25);
    for (const auto& [from, to] : {std::pair(&query.required, &matcher.required_),
                                   std::pair(&query.forbidden, &matcher.forbidden_)}) {
      for (const Phrase& phrase : *from) {
        NESTOR_ASSIGN_OR_RETURN(PhraseLists found, lists_of(phrase, lists));
        to->push_back(std::move(found));
      }
    }
    return matcher;
  }

  [[nodiscard]] const std::vector<PostingListPointer>& lists() const { return lists_; }

  // What the term's posting adds to its row.
  [[nodiscard]] double part(std::size_t term, std::size_t posting) const {
    const PostingList& list = *lists_[term];
    const double frequency = list.frequencies[posting];
    return weights_[term] * frequency / (frequency + saturation(list.lengths[posting]));
  }
  // Of a passage of nothing but these words, endlessly often.
  [[nodiscard]] double bound() const {
    return std::accumulate(weights_.begin(), weights_.end(), 0.0);
  }
  [[nodiscard]] bool admits(std::uint64_t row_id) const {
    const auto here = [&](const PhraseLists& phrase) { return contains(phrase, row_id); };
    const auto excludes = [&](const PhraseLists& phrase) {
      return contains(phrase, row_id) && !phrase.spares(row_id);
    };
    return std::all_of(required_.begin(), required_.end(), here) &&
           std::none_of(forbidden_.begin(), forbidden_.end(), excludes);
  }

 private:
  void prepare(const storage::TermTotals& totals, const Bm25& bm25) {
    const auto rows = static_cast<double>(totals.rows);
    const double mean = totals.length > 0 ? static_cast<double>(totals.length) / rows : 1;
    for (const PostingListPointer& list : lists_) {
      const auto with_term = static_cast<double>(list->size());
      const double idf = std::log(1 + (rows - with_term + 0.5) / (with_term + 0.5));
      weights_.push_back(idf * (bm25.k1 + 1));
    }
    base_ = bm25.k1 * (1 - bm25.b);
    slope_ = bm25.k1 * bm25.b / mean;
    for (std::size_t length = 0; length < kTableLengths; ++length)
      table_.push_back(base_ + slope_ * static_cast<double>(length));
  }
  [[nodiscard]] double saturation(std::uint32_t length) const {
    return length < kTableLengths ? table_[length] : base_ + slope_ * length;
  }

  std::vector<PostingListPointer> lists_;
  std::vector<double> weights_;
  std::vector<double> table_;
  double base_ = 0;
  double slope_ = 0;
  std::vector<PhraseLists> required_;
  std::vector<PhraseLists> forbidden_;
};

bool better(const KeywordHit& a, const KeywordHit& b) {
  return a.score != b.score ? a.score > b.score : a.row_id < b.row_id;
}

// Term after term over a window of rows, then the window's rows into the best k.
class WindowScan {
 public:
  WindowScan(const Matcher& matcher, const KeywordOptions& options)
      : matcher_(matcher), options_(options), next_(matcher.lists().size()), sums_(kWindow) {}

  Result<std::vector<KeywordHit>> run() {
    for (;;) {
      NESTOR_RETURN_IF_ERROR(options_.stop.check());
      const std::uint64_t begin = first_row();
      if (begin == kNoRow) break;
      add_window(begin);
      take_window(begin);
    }
    std::vector<KeywordHit> hits;
    for (; !best_.empty(); best_.pop()) hits.push_back(best_.top());
    std::reverse(hits.begin(), hits.end());
    return hits;
  }

 private:
  static constexpr std::uint64_t kNoRow = ~std::uint64_t{0};

  [[nodiscard]] std::uint64_t first_row() const {
    std::uint64_t first = kNoRow;
    for (std::size_t term = 0; term < next_.size(); ++term) {
      const PostingList& list = *matcher_.lists()[term];
      if (next_[term] < list.size()) first = std::min(first, list.rows[next_[term]]);
    }
    return first;
  }

  void add_window(std::uint64_t begin) {
    for (std::size_t term = 0; term < next_.size(); ++term) {
      const PostingList& list = *matcher_.lists()[term];
      std::size_t at = next_[term];
      for (; at < list.size() && list.rows[at] - begin < kWindow; ++at)
        sums_[list.rows[at] - begin] += matcher_.part(term, at);
      next_[term] = at;
    }
  }

  void take_window(std::uint64_t begin) {
    const auto k = static_cast<std::size_t>(std::max<std::int64_t>(options_.k, 0));
    for (std::uint64_t i = 0; i < kWindow; ++i) {
      if (sums_[i] == 0) continue;
      const KeywordHit hit{.row_id = begin + i, .score = sums_[i]};
      sums_[i] = 0;
      const bool full = best_.size() == k;
      if (k == 0 || (full && !better(hit, best_.top()))) continue;
      if (options_.filter && !options_.filter(hit.row_id)) continue;
      if (!matcher_.admits(hit.row_id)) continue;
      if (full) best_.pop();
      best_.push(hit);
    }
  }

  const Matcher& matcher_;
  const KeywordOptions& options_;
  std::vector<std::size_t> next_;  // per term
  std::vector<double> sums_;
  std::priority_queue<KeywordHit, std::vector<KeywordHit>, decltype(&better)> best_{&better};
};

}  // namespace

Result<KeywordRanking> KeywordSearch::search(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& collection,
                                             const KeywordQuery& query,
                                             const KeywordOptions& options) {
  NESTOR_ASSIGN_OR_RETURN(const Matcher matcher, Matcher::make(cache_, store, view, collection,
                                                               query, options.bm25, options.stop));
  NESTOR_ASSIGN_OR_RETURN(std::vector<KeywordHit> hits, WindowScan(matcher, options).run());
  return KeywordRanking{.hits = std::move(hits), .bound = matcher.bound()};
}

Result<std::vector<std::optional<double>>> KeywordSearch::scores(
    const storage::DocumentStore& store, const storage::DocumentStore::View& view,
    const storage::Collection& collection, const KeywordQuery& query,
    std::span<const std::uint64_t> rows, const Bm25& bm25) {
  NESTOR_ASSIGN_OR_RETURN(const Matcher matcher,
                          Matcher::make(cache_, store, view, collection, query, bm25, {}));
  std::vector<std::optional<double>> scores;
  for (const std::uint64_t row_id : rows) {
    if (!matcher.admits(row_id)) {
      scores.emplace_back();
      continue;
    }
    double sum = 0;
    for (std::size_t term = 0; term < matcher.lists().size(); ++term) {
      const std::size_t at = matcher.lists()[term]->find(row_id);
      if (at < matcher.lists()[term]->size()) sum += matcher.part(term, at);
    }
    scores.emplace_back(sum);
  }
  return scores;
}

}  // namespace nestor::query
