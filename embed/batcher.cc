#include "embed/batcher.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <map>
#include <new>
#include <numeric>
#include <tuple>

#include "core/check.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

// Tokens of a group. Fewer: the weights are read too often; more: activations leave the
// second-level cache (DECISIONS.md, 25).
constexpr std::int64_t kGroupTokens = 384;
// How long a turn lasts at most when nobody waits: how often progress comes.
constexpr std::chrono::milliseconds kTurn{500};

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

bool TurnLock::awaited() const {
  const std::lock_guard lock(mutex_);
  return next_ticket_ > now_serving_ + 1;
}

std::vector<TextGroup> plan_groups(std::span<const std::int64_t> lengths, std::int64_t budget,
                                   std::int64_t short_text) {
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  std::vector<TextGroup> groups;
  std::multimap<std::int64_t, std::size_t> open;  // room left -> group
  bool short_ones = false;
  for (const std::size_t text : order) {
    const std::int64_t length = lengths[text];
    if (!short_ones && length <= short_text) {
      open.clear();
      short_ones = true;
    }
    const auto fitting = open.lower_bound(length);
    std::size_t group = groups.size();
    std::int64_t room = budget;
    if (fitting == open.end()) {
      groups.emplace_back();
    } else {
      std::tie(room, group) = *fitting;
      open.erase(fitting);
    }
    groups[group].texts.push_back(text);
    groups[group].tokens += length;
    if (room > length) open.emplace(room - length, group);
  }
  return groups;
}

Batcher::Batcher(const Encoder& encoder, ThreadPool& pool)
    : encoder_(encoder), pool_(pool), sizer_(pool.thread_count()) {
  for (int i = 0; i < pool.thread_count(); ++i) workspaces_.push_back(encoder.make_workspace());
}

Status Batcher::encode_group(TextGroup& group, Texts texts, std::span<float* const> rows,
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
  group.encoded = true;
  return {};
} catch (const std::bad_alloc&) {
  return {StatusCode::kOutOfMemory, "no memory to embed a text; free some or use fewer threads"};
} catch (const std::exception& error) {
  return {StatusCode::kInternal, std::string("embedding failed: ") + error.what()};
}

Status Batcher::run_shared(TextGroup& group, Texts texts, std::span<float* const> rows,
                           const std::stop_token& stop) {
  Workspace& workspace = *workspaces_.front();
  const Team team(pool_, sizer_.size());
  NESTOR_RETURN_IF_ERROR(encode_group(group, texts, rows, team, stop, workspace));
  sizer_.hear(workspace.waited_share);
  return {};
}

Status Batcher::run_side_by_side(std::span<TextGroup> groups, Texts texts,
                                 std::span<float* const> rows, const std::stop_token& stop) {
  const auto end_of_turn = std::chrono::steady_clock::now() + kTurn;
  const auto threads = static_cast<std::int64_t>(workspaces_.size());
  return pool_.try_for_each(
      static_cast<std::int64_t>(groups.size()), [&](std::int64_t index, int worker) -> Status {
        const bool turn_is_over = turn_.awaited() || std::chrono::steady_clock::now() > end_of_turn;
        if (index >= threads && turn_is_over) return {};
        return encode_group(groups[static_cast<std::size_t>(index)], texts, rows, Team(), stop,
                            *workspaces_[static_cast<std::size_t>(worker)]);
      });
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
  std::vector<TextGroup> left =
      plan_groups(lengths, std::min(kGroupTokens, fair_share), encoder_.short_text_tokens());
  const auto thread_count = static_cast<std::size_t>(threads);
  while (!left.empty()) {
    if (stop.stop_requested()) return {StatusCode::kCancelled, "the embedding was stopped"};
    const std::int64_t tokens_left = report.tokens_total - report.tokens_done;
    const bool shared =
        threads > 1 && (left.size() < thread_count || left.front().tokens * threads > tokens_left);
    {
      const std::lock_guard turn(turn_);
      // What is left over at the very end is shared instead.
      const std::size_t whole_rounds = left.size() / thread_count * thread_count;
      NESTOR_RETURN_IF_ERROR(
          shared ? run_shared(left.front(), texts, rows, stop)
                 : run_side_by_side(std::span(left).first(whole_rounds), texts, rows, stop));
    }
    for (const TextGroup& group : left) {
      if (!group.encoded) continue;
      report.passages_done += static_cast<std::int64_t>(group.texts.size());
      report.tokens_done += group.tokens;
    }
    std::erase_if(left, [](const TextGroup& group) { return group.encoded; });
    if (progress) progress(report);
  }
  return {};
}

}  // namespace nestor::embed
