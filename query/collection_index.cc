#include "query/collection_index.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "core/macros.h"

namespace nestor::query {
namespace {

// Id, scale, length and checksum of a cached row stay in memory when the row itself is mapped.
constexpr std::int64_t kNumberBytes = 20;

}  // namespace

CollectionIndex::CollectionIndex(int full_width, bool matryoshka, Metric metric)
    : prefixes_(full_width, matryoshka, !matryoshka, metric),
      rows_damaged_(std::make_shared<std::atomic<bool>>(false)) {
  if (matryoshka) codes_.emplace(index::default_ladder_shape(full_width, matryoshka));
}

Result<CollectionIndex> CollectionIndex::build(int full_width, bool matryoshka,
                                               const index::VectorSource& source, Metric metric,
                                               const IndexSize& size) {
  CollectionIndex made(full_width, matryoshka, metric);
  if (matryoshka) {
    NESTOR_ASSIGN_OR_RETURN(
        index::LadderIndex codes,
        index::LadderIndex::build(index::default_ladder_shape(full_width, matryoshka), source,
                                  size.train_rows));
    made.put_codes(std::move(codes));
  } else {
    NESTOR_RETURN_IF_ERROR(made.prefixes_.build(made.default_width(), source, size.row_count));
  }
  return made;
}

std::int64_t CollectionIndex::build_bytes(int full_width, bool matryoshka, const IndexSize& size) {
  if (!matryoshka) return index::CoarseIndex::bytes_of(full_width, size.row_count);
  return index::LadderIndex::build_bytes(index::default_ladder_shape(full_width, matryoshka),
                                         size.row_count, size.train_rows) +
         kNumberBytes * size.row_count;
}

Result<CollectionIndex> CollectionIndex::version() const {
  try {
    CollectionIndex same(prefixes_.full_width(), has_codes());
    same.prefixes_ = index::WidthLadder(prefixes_);
    if (has_codes()) {
      NESTOR_ASSIGN_OR_RETURN(same.codes_, codes_->version());
    }
    same.calibration_ = calibration_;
    // Damaged ones too, so that nobody reads their files again before saving removes them.
    if (rows_ != nullptr) {
      same.rows_ = std::make_unique<CachedRows>(*rows_);
      same.rows_damaged_ = rows_damaged_;
    }
    same.most_bytes_ = most_bytes_;
    return same;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, "no memory for another version of an index");
  }
}

void CollectionIndex::put_codes(index::LadderIndex codes) {
  codes_ = std::move(codes);
  codes_->limit_memory(most_bytes_);
}

void CollectionIndex::limit_memory(std::int64_t most_bytes) {
  most_bytes_ = most_bytes;
  if (has_codes()) codes_->limit_memory(most_bytes);
}

void CollectionIndex::put_rows(CachedRows rows) {
  auto sound = std::make_shared<std::atomic<bool>>(false);
  rows_ = std::make_unique<CachedRows>(std::move(rows));
  rows_damaged_ = std::move(sound);
}

Result<std::vector<index::Candidate>> CollectionIndex::search_codes(
    std::span<const float> query, std::int64_t wanted, const index::LadderFilter* filter,
    std::int64_t passages, Plan& plan, Status& cut, const FirstRound* first) const {
  // What a cosine by codes of 1 bit is off by, 1.75 standard deviations of .034 at 768 components.
  const double slack = 0.06 * std::sqrt(768.0 / codes_->shape().width);
  constexpr int kMostRounds = 4;
  for (int round = 0;; ++round) {
    std::vector<index::Candidate> candidates;
    if (round == 0 && first != nullptr && first->scan_count == plan.scan_count &&
        first->candidate_count == plan.candidate_count) {
      candidates = first->candidates;
      plan.exact = plan.exact || first->exact;
    } else {
      index::LadderTrace trace;
      NESTOR_ASSIGN_OR_RETURN(
          candidates,
          codes_->search(query, {.scan_count = plan.scan_count, .rank_count = plan.candidate_count},
                         filter, nullptr, &trace));
      plan.exact = plan.exact || trace.exact;
    }
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

std::int64_t CollectionIndex::owned_bytes() const {
  const std::int64_t tail =
      rows_ == nullptr ? 0 : rows_->rows.tail_count() * rows_->rows.disk_bytes_a_row();
  return std::max<std::int64_t>(memory_bytes() - mapped_bytes() - tail, 0);
}

std::int64_t CollectionIndex::mapped_row_bytes() const {
  if (rows_ == nullptr) return 0;
  return (rows_->rows.row_count() - rows_->rows.tail_count()) *
         (rows_->rows.disk_bytes_a_row() - kNumberBytes);
}

std::int64_t CollectionIndex::bytes_with(std::int64_t more) const {
  const std::int64_t bytes = owned_bytes() - prefixes_.memory_bytes() + prefixes_.bytes_with(more);
  if (!has_codes()) return bytes;
  const std::int64_t unnumbered = more + (rows_ == nullptr ? live_count() : 0);
  return bytes + codes_->bytes_with(more) - (code_bytes() - mapped_bytes()) +
         kNumberBytes * unnumbered;
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
