// Batcher: many texts over few threads, without padding. Texts are packed into groups that fill a
// token budget; each thread takes a group of its own, then the next. Where fewer groups than
// threads are left, or one outweighs the rest, the threads that are free share it, or fewer where
// other work keeps the processors busy (team_sizer.h).
//
// Threads: any number may call run at once; they take turns, first come first served. A turn ends
// with the groups in work as soon as another caller waits, and after half a second anyway.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <vector>

#include "core/thread_pool.h"
#include "embed/encoder.h"
#include "embed/team_sizer.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor::embed {

// A lock that is handed over in the order it was asked for, so that a query is not starved by an
// ingest.
class TurnLock {
 public:
  void lock();
  void unlock();
  // How often lock() was called, those still waiting counted.
  [[nodiscard]] std::uint64_t asked_count() const;
  // True when somebody waits for the holder.
  [[nodiscard]] bool awaited() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t now_serving_ = 0;
};

// Indices of the texts that are encoded together.
struct TextGroup {
  std::vector<std::size_t> texts;
  std::int64_t tokens = 0;
  bool encoded = false;
};

// Groups of at most `budget` tokens (a longer text is a group of its own), each opened by the
// longest text that fits nowhere, then filled with the longest that fit: best fit decreasing, at
// most 22 % more groups than needed. Texts of up to `short_text` tokens share no group with longer
// ones.
std::vector<TextGroup> plan_groups(std::span<const std::int64_t> lengths, std::int64_t budget,
                                   std::int64_t short_text = 0);

class Batcher {
 public:
  // Both must outlive the batcher.
  Batcher(const Encoder& encoder, ThreadPool& pool);

  // Encodes texts[i] into rows[i], (output_width). Progress is reported, and `stop` heard, between
  // batches. Errors: those of Encoder::encode; kOutOfMemory.
  Status run(std::span<const std::span<const std::int32_t>> texts, std::span<float* const> rows,
             const std::stop_token& stop, const ProgressCallback& progress);

 private:
  using Texts = std::span<const std::span<const std::int32_t>>;
  Status encode_group(TextGroup& group, Texts texts, std::span<float* const> rows, const Team& team,
                      const std::stop_token& stop, Workspace& workspace) const;
  // Encodes a group by all threads that are free, or fewer on a busy machine.
  Status run_shared(TextGroup& group, Texts texts, std::span<float* const> rows,
                    const std::stop_token& stop);
  // Encodes groups from the front until the turn is over, one a thread at least.
  Status run_side_by_side(std::span<TextGroup> groups, Texts texts, std::span<float* const> rows,
                          const std::stop_token& stop);

  const Encoder& encoder_;
  ThreadPool& pool_;
  TurnLock turn_;  // guards the scratch and the sizer
  TeamSizer sizer_;
  // One a thread; the first one is also that of shared passes.
  std::vector<std::unique_ptr<Workspace>> workspaces_;
};

}  // namespace nestor::embed
