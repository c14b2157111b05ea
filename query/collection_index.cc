#include "query/collection_index.h"

#include <cmath>

#include "core/macros.h"

namespace nestor::query {

CollectionIndex::CollectionIndex(int full_width, bool matryoshka, Metric metric)
    : prefixes_(full_width, matryoshka, !matryoshka, metric),
      rows_damaged_(std::make_unique<std::atomic<bool>>(false)) {
  if (matryoshka) codes_.emplace(index::default_ladder_shape(full_width, matryoshka));
}

Result<CollectionIndex> CollectionIndex::build(int full_width, bool matryoshka,
                                               const index::VectorSource& source, Metric metric) {
  CollectionIndex made(full_width, matryoshka, metric);
  if (matryoshka) {
    NESTOR_ASSIGN_OR_RETURN(
        index::LadderIndex codes,
        index::LadderIndex::build(index::default_ladder_shape(full_width, matryoshka), source));
    made.put_codes(std::move(codes));
  } else {
    NESTOR_RETURN_IF_ERROR(made.build_width(made.default_width(), source));
  }
  return made;
}

void CollectionIndex::put_rows(CachedRows rows) {
  rows_ = std::make_unique<CachedRows>(std::move(rows));
  *rows_damaged_ = false;
}

Result<std::vector<index::Candidate>> CollectionIndex::search_codes(
    std::span<const float> query, std::int64_t wanted, const index::LadderFilter* filter,
    std::int64_t passages, Plan& plan, Status& cut) const {
  // What a cosine by codes of 1 bit is off by, 1.75 standard deviations of .034 at 768 components.
  const double slack = 0.06 * std::sqrt(768.0 / codes_->shape().width);
  constexpr int kMostRounds = 4;
  for (int round = 0;; ++round) {
    index::LadderTrace trace;
    NESTOR_ASSIGN_OR_RETURN(
        std::vector<index::Candidate> candidates,
        codes_->search(query, {.scan_count = plan.scan_count, .rank_count = plan.candidate_count},
                       filter, nullptr, &trace));
    plan.exact = plan.exact || trace.exact;
    if (std::ssize(candidates) <= wanted || plan.rerank_width != codes_->shape().width) {
      return candidates;
    }
    const double last = candidates.back().score;
    cut = cut_candidates(query, wanted, candidates);
    const bool cached = cut.ok() && rows() != nullptr;
    const bool shallow =
        cached && last + slack > candidates[static_cast<std::size_t>(wanted - 1)].score;
    if (!shallow || plan.recall_target == 0 || plan.exact || round == kMostRounds) {
      return candidates;
    }
    deepen(plan, passages);
  }
}

Status CollectionIndex::cut_candidates(std::span<const float> query, std::int64_t wanted,
                                       std::vector<index::Candidate>& candidates) const {
  const CachedRows* const cached = rows();
  if (cached == nullptr || std::ssize(candidates) <= wanted) return {};
  std::vector<std::uint64_t> ids;
  ids.reserve(candidates.size());
  for (const index::Candidate& candidate : candidates) ids.push_back(candidate.id);
  NESTOR_ASSIGN_OR_RETURN(candidates, cached->rows.finalists(query, ids, wanted));
  return {};
}

std::int64_t CollectionIndex::live_count() const {
  return has_codes() ? codes_->live_count() : at(default_width()).live_count();
}

std::int64_t CollectionIndex::memory_bytes() const {
  return prefixes_.memory_bytes() + code_bytes() +
         (rows_ != nullptr ? rows_->rows.memory_bytes() : 0);
}

Status CollectionIndex::add(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  NESTOR_RETURN_IF_ERROR(prefixes_.add(ids, rows));
  // Without the row cache searches are slower and no worse.
  if (rows_ != nullptr && !rows_->rows.add(ids, rows).ok()) rows_ = nullptr;
  return has_codes() ? codes_->add(ids, rows) : Status();
}

void CollectionIndex::remove(std::span<const std::uint64_t> ids) {
  prefixes_.remove(ids);
  if (has_codes()) codes_->remove(ids);
}

}  // namespace nestor::query
