#include "embed/batcher.h"

#include <algorithm>
#include <exception>
#include <new>
#include <numeric>

#include "core/check.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

// Tokens of a group. Fewer: the products repack the weights too often; more: activations leave the
// second-level cache. Tokens a processor second at 256 / 512 / 1024: 477 / 515 / 504 (medquad, 40
// passages, medians of 2 to 3 runs on a busy machine, 2026-11-22).
constexpr std::int64_t kGroupTokens = 384;
// Groups a thread takes before the turn passes on: how long others wait, and how often progress
// comes.
constexpr std::size_t kGroupsOfATurn = 2;

}  // namespace

void TurnLock::lock() {
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_ticket_++;
  changed_.wait(lock, [&] { return now_serving_ == ticket; });
}

void TurnLock::unlock() {
  {
    const std::lock_guard lock(mutex_);
    ++now_serving_;
  }
  changed_.notify_all();
}

std::uint64_t TurnLock::asked_count() const {
  const std::lock_guard lock(mutex_);
  return next_ticket_;
}

std::vector<TextGroup> plan_groups(std::span<const std::int64_t> lengths, std::int64_t budget,
                                   std::int64_t short_text) {
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  std::vector<TextGroup> groups;
  for (const std::size_t text : order) {
    const bool full = groups.empty() || groups.back().tokens + lengths[text] > budget;
    const bool turns_short =
        !full && lengths[text] <= short_text && lengths[groups.back().texts.front()] > short_text;
    if (full || turns_short) groups.emplace_back();
    groups.back().texts.push_back(text);
    groups.back().tokens += lengths[text];
  }
  return groups;
}

Batcher::Batcher(const Encoder& encoder, ThreadPool& pool) : encoder_(encoder), pool_(pool) {
  for (int i = 0; i < pool.thread_count(); ++i) workspaces_.push_back(encoder.make_workspace());
}

Status Batcher::encode_group(const TextGroup& group, Texts texts, std::span<float* const> rows,
                             const Team& team, const std::stop_token& stop,
                             Workspace& workspace) const try {
  std::vector<std::span<const std::int32_t>> members;
  members.reserve(group.texts.size());
  for (const std::size_t text : group.texts) members.push_back(texts[text]);
  NESTOR_ASSIGN_OR_RETURN(const std::span<const float> result,
                          encoder_.encode(members, team, stop, workspace));
  const std::size_t width = result.size() / members.size();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::span<const float> row = result.subspan(i * width, width);
    std::copy(row.begin(), row.end(), rows[group.texts[i]]);
  }
  return {};
} catch (const std::bad_alloc&) {
  return {StatusCode::kOutOfMemory, "no memory to embed a text; free some or use fewer threads"};
} catch (const std::exception& error) {
  return {StatusCode::kInternal, std::string("embedding failed: ") + error.what()};
}

Status Batcher::run_side_by_side(std::span<const TextGroup> groups, Texts texts,
                                 std::span<float* const> rows, const std::stop_token& stop) {
  std::vector<Status> statuses(groups.size());
  pool_.for_each(static_cast<std::int64_t>(groups.size()), [&](std::int64_t index, int worker) {
    const auto at = static_cast<std::size_t>(index);
    statuses[at] = encode_group(groups[at], texts, rows, Team(), stop,
                                *workspaces_[static_cast<std::size_t>(worker)]);
  });
  for (Status& status : statuses) NESTOR_RETURN_IF_ERROR(std::move(status));
  return {};
}

Status Batcher::run(Texts texts, std::span<float* const> rows, const std::stop_token& stop,
                    const ProgressCallback& progress) {
  NESTOR_CHECK(texts.size() == rows.size(), "a row for every text");
  std::vector<std::int64_t> lengths;
  lengths.reserve(texts.size());
  for (const auto& ids : texts) lengths.push_back(static_cast<std::int64_t>(ids.size()));
  Progress report;
  report.passages_total = static_cast<std::int64_t>(texts.size());
  report.tokens_total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});

  const std::int64_t threads = pool_.thread_count();
  const std::int64_t fair_share = (report.tokens_total + threads - 1) / threads;
  const std::vector<TextGroup> groups =
      plan_groups(lengths, std::min(kGroupTokens, fair_share), encoder_.short_text_tokens());
  std::span<const TextGroup> left(groups);
  while (!left.empty()) {
    if (stop.stop_requested()) return {StatusCode::kCancelled, "the embedding was stopped"};
    const std::int64_t tokens_left = report.tokens_total - report.tokens_done;
    const auto thread_count = static_cast<std::size_t>(threads);
    const bool shared =
        threads > 1 && (left.size() < thread_count || left.front().tokens * threads > tokens_left);
    std::size_t count = 1;
    // Whole rounds only: what is left over at the very end is shared instead.
    if (!shared) {
      count = std::min(left.size() / thread_count, kGroupsOfATurn) * thread_count;
    }
    const std::span<const TextGroup> batch = left.first(count);
    {
      const std::lock_guard turn(turn_);
      NESTOR_RETURN_IF_ERROR(
          shared ? encode_group(batch.front(), texts, rows, Team(pool_), stop, *workspaces_.front())
                 : run_side_by_side(batch, texts, rows, stop));
    }
    for (const TextGroup& group : batch) {
      report.passages_done += static_cast<std::int64_t>(group.texts.size());
      report.tokens_done += group.tokens;
    }
    if (progress) progress(report);
    left = left.subspan(count);
  }
  return {};
}

}  // namespace nestor::embed
