#include "index/top_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"

namespace nestor::index {
namespace {

constexpr std::int32_t kLowest = std::numeric_limits<std::int32_t>::min();
// Rows between two looks at how full the list is.
constexpr std::int64_t kStepRows = 4096;
// The sample: a sixteenth of the rows within these bounds, in runs of 64 rows spread evenly.
constexpr std::int64_t kSampleDivisor = 16;
constexpr std::int64_t kLeastSample = 2048;
constexpr std::int64_t kMostSample = 16384;
constexpr std::int64_t kRunRows = 64;

ScanTask task_of(const ScanRange& range, const CodeQuery& query, std::int64_t row_begin,
                 std::int64_t row_end) {
  return {.blocks = range.blocks,
          .words = range.words,
          .bits = range.bits,
          .block_begin = row_begin / kBlockRows,
          .block_end = (std::min(row_end, range.end) + kBlockRows - 1) / kBlockRows,
          .live = range.live,
          .weights = query.weights.data(),
          .nibbles = query.nibbles.data(),
          .threshold = kLowest,
          .first_position = range.first_position};
}

void append(const ScanKernels& kernels, ScanTask task, std::int32_t threshold, CodeList& list) {
  task.threshold = threshold;
  task.scores = list.scores.get() + list.count;
  task.positions = list.positions.get() + list.count;
  list.count += kernels.scan(task);
}

// A score that about `keep` rows reach, rather more than fewer: four standard deviations of what a
// sample of that size can be off by.
std::int32_t guess_threshold(const ScanKernels& kernels, std::span<const ScanRange> ranges,
                             const CodeQuery& query, std::int64_t keep, std::int64_t live_count) {
  std::int64_t rows = 0;
  for (const ScanRange& range : ranges) rows += range.rows();
  const std::int64_t wanted = std::clamp(rows / kSampleDivisor, kLeastSample, kMostSample);
  if (rows < 2 * wanted) return kLowest;
  const std::int64_t stride = rows / (wanted / kRunRows) / kRunRows * kRunRows;
  CodeList sample(wanted + wanted / 2 + 4 * kRunRows);
  std::int64_t next = 0;  // counted on through all ranges, so that short ones are met as often
  for (const ScanRange& range : ranges) {
    for (; next < range.rows(); next += stride) {
      if (sample.count + 2 * kRunRows > sample.room) break;
      const std::int64_t row = range.begin + next;
      append(kernels, task_of(range, query, row, row + kRunRows), kLowest, sample);
    }
    next = std::max<std::int64_t>(next - range.rows(), 0);
  }
  const double expected = static_cast<double>(keep) * static_cast<double>(sample.count) /
                          static_cast<double>(live_count);
  const std::int64_t rank = static_cast<std::int64_t>(expected + 4 * std::sqrt(expected) + 4);
  if (rank >= sample.count) return kLowest;
  return nth_greatest(kernels, sample.scores.get(), sample.count, rank);
}

void scan_all(const ScanKernels& kernels, std::span<const ScanRange> ranges, const CodeQuery& query,
              std::int64_t keep, std::int32_t threshold, CodeList& list) {
  list.count = 0;
  for (const ScanRange& range : ranges) {
    for (std::int64_t row = range.begin; row < range.end; row += kStepRows) {
      if (list.count + kStepRows + kBlockRows > list.room) {
        // Whoever comes now with the least score comes later than all that have it: not enough.
        threshold = std::max(threshold, list.cut(kernels, keep) + 1);
      }
      append(kernels, task_of(range, query, row, row + kStepRows), threshold, list);
    }
  }
}

}  // namespace

CodeList::CodeList(std::int64_t room_)
    : scores(new std::int32_t[static_cast<std::size_t>(room_)]),
      positions(new std::uint32_t[static_cast<std::size_t>(room_)]),
      room(room_) {}

std::int32_t nth_greatest(const ScanKernels& kernels, const std::int32_t* scores,
                          std::int64_t count, std::int64_t rank) {
  // Invariant: at least `rank` scores are >= low, fewer are >= high.
  std::int64_t low = kLowest;
  std::int64_t high = std::int64_t{std::numeric_limits<std::int32_t>::max()} + 1;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (kernels.count_at_least(scores, count, static_cast<std::int32_t>(middle)) >= rank) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return static_cast<std::int32_t>(low);
}

std::int32_t CodeList::cut(const ScanKernels& kernels, std::int64_t keep) {
  NESTOR_CHECK(keep > 0 && keep <= count, "a cut that leaves more than there is");
  const std::int32_t least = nth_greatest(kernels, scores.get(), count, keep);
  if (keep == count) return least;
  const std::int64_t above = least == std::numeric_limits<std::int32_t>::max()
                                 ? 0
                                 : kernels.count_at_least(scores.get(), count, least + 1);
  std::int64_t ties = keep - above;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t score = scores[i];
    const std::int64_t tie =
        static_cast<std::int64_t>(score == least) & static_cast<std::int64_t>(ties > 0);
    scores[kept] = score;
    positions[kept] = positions[i];
    ties -= tie;
    kept += static_cast<std::int64_t>(score > least) | tie;
  }
  count = kept;
  return least;
}

CodeList best_codes(const ScanKernels& kernels, std::span<const ScanRange> ranges,
                    const CodeQuery& query, std::int64_t keep, std::int64_t live_count) {
  keep = std::min(keep, live_count);
  if (keep <= 0) return {};
  CodeList list(2 * keep + 2 * kStepRows);
  std::int32_t threshold = kLowest;
  if (live_count > keep) {
    threshold = guess_threshold(kernels, ranges, query, keep, live_count);
  }
  scan_all(kernels, ranges, query, keep, threshold, list);
  // The sample promised more than there is, which costs a second pass and no row.
  if (list.count < keep && threshold != kLowest) {
    scan_all(kernels, ranges, query, keep, kLowest, list);
  }
  if (list.count > keep) list.cut(kernels, keep);
  return list;
}

}  // namespace nestor::index
