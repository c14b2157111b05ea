#include "index/top_codes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>
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

// From so many questions on a kernel for many is quicker than a scan for each. Measured:
// index/CODES.md, section "Many questions".
constexpr std::int64_t kLeastMany = 4;

// Rows [row_begin, row_end) for each of the questions, a stretch of rows that stays in the
// second-level cache while it is gone over.
class ManyScan {
 public:
  ManyScan(const ScanKernels& kernels, std::span<const CodeQuery> queries, const ScanRange& shape)
      : kernels_(kernels), queries_(queries), kept_(queries.size()) {
    if (kernels.scan_many == nullptr || std::ssize(queries) < kLeastMany) return;
    const auto stride = static_cast<std::size_t>(many_weights_stride(shape.words, shape.bits));
    const auto scanned = static_cast<std::size_t>(shape.words * (32 / shape.bits));
    const std::size_t tiles = (queries.size() + kQuestionTile - 1) / kQuestionTile;
    weights_.resize(tiles * kQuestionTile * stride);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      std::copy_n(queries[i].weights.begin(), scanned, weights_.begin() + i * stride);
    }
    scratch_.reset(static_cast<std::uint8_t*>(
        ::operator new (stride* kSpreadRows, std::align_val_t{kScratchAlignment})));
    std::fill_n(scratch_.get(), stride * kSpreadRows, std::uint8_t{0});
  }

  // Appends to each list those that reach its threshold.
  void append(const ScanRange& range, std::int64_t row_begin, std::int64_t row_end,
              std::span<const std::int32_t> thresholds, std::span<CodeList> lists) {
    const std::int64_t begin = row_begin / kBlockRows;
    const std::int64_t end = (std::min(row_end, range.end) + kBlockRows - 1) / kBlockRows;
    for (std::size_t i = 0; i < lists.size(); ++i) {
      kept_[i] = {.threshold = thresholds[i],
                  .scores = lists[i].scores.get() + lists[i].count,
                  .positions = lists[i].positions.get() + lists[i].count};
    }
    if (scratch_ == nullptr) {
      scan_each(range, begin, end);
    } else {
      kernels_.scan_many({.blocks = range.blocks,
                          .words = range.words,
                          .bits = range.bits,
                          .block_begin = begin,
                          .block_end = end,
                          .live = range.live,
                          .first_position = range.first_position,
                          .question_count = std::ssize(queries_),
                          .weights = weights_.data(),
                          .kept = kept_.data(),
                          .scratch = scratch_.get()});
    }
    for (std::size_t i = 0; i < lists.size(); ++i) lists[i].count += kept_[i].kept;
  }

 private:
  static constexpr std::size_t kScratchAlignment = 64;
  struct Free {
    void operator()(std::uint8_t* bytes) const {
      ::operator delete (bytes, std::align_val_t{kScratchAlignment});
    }
  };
  void scan_each(const ScanRange& range, std::int64_t begin, std::int64_t end) {
    for (std::size_t i = 0; i < queries_.size(); ++i) {
      kept_[i].kept = kernels_.scan({.blocks = range.blocks,
                                     .words = range.words,
                                     .bits = range.bits,
                                     .block_begin = begin,
                                     .block_end = end,
                                     .live = range.live,
                                     .weights = queries_[i].weights.data(),
                                     .nibbles = queries_[i].nibbles.data(),
                                     .threshold = kept_[i].threshold,
                                     .first_position = range.first_position,
                                     .scores = kept_[i].scores,
                                     .positions = kept_[i].positions});
    }
  }

  const ScanKernels& kernels_;
  std::span<const CodeQuery> queries_;
  std::vector<KeptRows> kept_;
  std::vector<std::int8_t> weights_;  // of scan_many, with its scratch; none where it is not used
  std::unique_ptr<std::uint8_t, Free> scratch_;
};

std::int64_t sample_rows(std::span<const ScanRange> ranges) {
  std::int64_t rows = 0;
  for (const ScanRange& range : ranges) rows += range.rows();
  return std::clamp(rows / kSampleDivisor, kLeastSample, kMostSample);
}

constexpr std::int64_t sample_room(std::int64_t wanted) {
  return wanted + wanted / 2 + 4 * kRunRows;
}

// For each question a score that about `keep` rows reach, rather more than fewer: four standard
// deviations of what a sample of that size can be off by. The samples lie in `samples` meanwhile.
std::vector<std::int32_t> guess_thresholds(const ScanKernels& kernels, ManyScan& scan,
                                           std::span<const ScanRange> ranges, std::int64_t keep,
                                           std::int64_t live_count, std::span<CodeList> samples) {
  std::vector<std::int32_t> thresholds(samples.size(), kLowest);
  std::int64_t rows = 0;
  for (const ScanRange& range : ranges) rows += range.rows();
  const std::int64_t wanted = sample_rows(ranges);
  if (rows < 2 * wanted || live_count <= keep) return thresholds;
  const std::int64_t stride = rows / (wanted / kRunRows) / kRunRows * kRunRows;
  const CodeList& first = samples.front();  // all of them hold the same rows
  std::int64_t next = 0;  // counted on through all ranges, so that short ones are met as often
  for (const ScanRange& range : ranges) {
    for (; next < range.rows(); next += stride) {
      if (first.count + 2 * kRunRows > sample_room(wanted)) break;
      const std::int64_t row = range.begin + next;
      scan.append(range, row, row + kRunRows, thresholds, samples);
    }
    next = std::max<std::int64_t>(next - range.rows(), 0);
  }
  const double expected = static_cast<double>(keep) * static_cast<double>(first.count) /
                          static_cast<double>(live_count);
  const std::int64_t rank = static_cast<std::int64_t>(expected + 4 * std::sqrt(expected) + 4);
  if (rank < first.count) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      thresholds[i] = nth_greatest(kernels, samples[i].scores.get(), samples[i].count, rank);
    }
  }
  for (CodeList& sample : samples) sample.count = 0;
  return thresholds;
}

void scan_all(const ScanKernels& kernels, ManyScan& scan, std::span<const ScanRange> ranges,
              std::int64_t keep, std::vector<std::int32_t> thresholds, std::span<CodeList> lists) {
  for (const ScanRange& range : ranges) {
    for (std::int64_t row = range.begin; row < range.end; row += kStepRows) {
      for (std::size_t i = 0; i < lists.size(); ++i) {
        if (lists[i].count + kStepRows + kBlockRows <= lists[i].room) continue;
        // Whoever comes now with the least score comes later than all that have it: not enough.
        thresholds[i] = std::max(thresholds[i], lists[i].cut(kernels, keep) + 1);
      }
      scan.append(range, row, row + kStepRows, thresholds, lists);
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
  const auto enough = [&](std::int64_t least) {
    return kernels.count_at_least(scores, count, static_cast<std::int32_t>(least)) >= rank;
  };
  // Invariant: at least `rank` scores are >= low, fewer are >= high. From any of the scores on in
  // steps twice as large each: they lie close together.
  constexpr std::int64_t kEnd = std::int64_t{std::numeric_limits<std::int32_t>::max()} + 1;
  std::int64_t low = scores[0];
  std::int64_t high = low;
  std::int64_t step = 256;
  if (enough(low)) {
    do {
      low = high;
      high = std::min(low + step, kEnd);
      step *= 2;
    } while (high < kEnd && enough(high));
  } else {
    do {
      high = low;
      low = std::max<std::int64_t>(high - step, kLowest);
      step *= 2;
    } while (low > kLowest && !enough(low));
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    if (enough(middle)) {
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

std::vector<CodeList> best_codes_of_many(const ScanKernels& kernels,
                                         std::span<const ScanRange> ranges,
                                         std::span<const CodeQuery> queries, std::int64_t keep,
                                         std::int64_t live_count) {
  std::vector<CodeList> lists(queries.size());
  keep = std::min(keep, live_count);
  if (keep <= 0 || ranges.empty() || queries.empty()) return lists;
  const std::int64_t room = std::max(2 * keep + 2 * kStepRows, sample_room(sample_rows(ranges)));
  for (CodeList& list : lists) list = CodeList(room);
  ManyScan scan(kernels, queries, ranges.front());
  const std::vector<std::int32_t> thresholds =
      guess_thresholds(kernels, scan, ranges, keep, live_count, lists);
  scan_all(kernels, scan, ranges, keep, thresholds, lists);
  for (std::size_t i = 0; i < lists.size(); ++i) {
    CodeList& list = lists[i];
    // The sample promised more than there is, which costs a second pass and no row.
    if (list.count < keep && thresholds[i] != kLowest) {
      list.count = 0;
      ManyScan again(kernels, queries.subspan(i, 1), ranges.front());
      scan_all(kernels, again, ranges, keep, {kLowest}, {&list, 1});
    }
    if (list.count > keep) list.cut(kernels, keep);
  }
  return lists;
}

CodeList best_codes(const ScanKernels& kernels, std::span<const ScanRange> ranges,
                    const CodeQuery& query, std::int64_t keep, std::int64_t live_count) {
  return std::move(best_codes_of_many(kernels, ranges, {&query, 1}, keep, live_count).front());
}

}  // namespace nestor::index
