#include "index/width_ladder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"

namespace nestor::index {
namespace {

// The widths EmbeddingGemma was trained to be cut to. Source: its model card, Matryoshka.
constexpr std::array<int, 3> kMatryoshkaCuts = {512, 256, 128};

// Rows handed to a rung at once: 1,024 of 128 floats are 512 kB.
constexpr std::size_t kBlockRows = 1024;

struct MeasuredCount {
  double row_count;
  double candidate_count;
};
struct MeasuredWidth {
  int width;
  std::array<MeasuredCount, 3> points;  // by rising row_count
};

// Candidates of a flat pass with full-precision prefixes that hold 99 of 100 of the exact ten best
// at 768d. Measured on EmbeddingGemma vectors: 13,887 real short documents and 500 questions, and
// two synthetic sets grown from them (design page "search", section 1). 256d is the row of its
// 4-bit codes, which is no better than full precision; 512d was not measured in full precision and
// takes half of 256d, which is still above the measured need (20) of all 768 in int8.
constexpr std::array<MeasuredWidth, 3> kMeasured = {{
    {128, {{{14'000, 400}, {100'000, 800}, {500'000, 1600}}}},
    {256, {{{14'000, 100}, {100'000, 200}, {500'000, 400}}}},
    {512, {{{14'000, 50}, {100'000, 100}, {500'000, 200}}}},
}};

// For k above ten, by this power of k / 10. Not measured: were scores noisy by a fixed amount and
// their tail Gaussian, the power would fall from 1 at the head towards 0; between ranks 10 and 100
// of 14,000 it is 0.63.
constexpr double kRankPower = 2.0 / 3.0;

// Straight lines between the logarithms of the points, the last one drawn out. Below the smallest
// measured collection the count stays as it is there: the recall was .990, with nothing to give
// away.
double interpolate(const std::array<MeasuredCount, 3>& points, double row_count) {
  if (row_count <= points.front().row_count) return points.front().candidate_count;
  std::size_t right = 1;
  while (right + 1 < points.size() && row_count > points[right].row_count) ++right;
  const MeasuredCount& a = points[right - 1];
  const MeasuredCount& b = points[right];
  const double power =
      std::log(b.candidate_count / a.candidate_count) / std::log(b.row_count / a.row_count);
  return a.candidate_count * std::pow(row_count / a.row_count, power);
}

}  // namespace

std::vector<int> ladder_widths(int full_width, bool matryoshka) {
  NESTOR_CHECK(full_width > 0, "a vector has at least one component");
  std::vector<int> widths = {full_width};
  if (!matryoshka) return widths;
  for (const int cut : kMatryoshkaCuts) {
    if (cut < full_width) widths.push_back(cut);
  }
  return widths;
}

int default_coarse_width(int full_width, bool matryoshka) {
  return ladder_widths(full_width, matryoshka).back();
}

std::int64_t default_candidate_count(int coarse_width, int full_width, std::int64_t row_count,
                                     std::int64_t k) {
  NESTOR_CHECK(k > 0 && row_count >= 0, "k counts from 1, rows from 0");
  // The coarse pass is exact already: it puts the right k first.
  if (coarse_width >= full_width) return k;
  const MeasuredWidth* measured = &kMeasured.front();
  for (const MeasuredWidth& candidate : kMeasured) {
    if (candidate.width <= coarse_width) measured = &candidate;
  }
  double count = interpolate(measured->points, static_cast<double>(row_count));
  if (k > 10) count *= std::pow(static_cast<double>(k) / 10, kRankPower);
  // Compared as doubles: a count over the rows need not fit an integer.
  if (count >= static_cast<double>(row_count)) return std::max(row_count, k);
  return std::max(static_cast<std::int64_t>(std::ceil(count)), k);
}

WidthLadder::WidthLadder(int full_width, bool matryoshka, bool default_rung, Metric metric)
    : full_width_(full_width), metric_(metric), widths_(ladder_widths(full_width, matryoshka)) {
  if (default_rung) rungs_.emplace(default_width(), CoarseIndex(default_width(), metric));
}

const CoarseIndex& WidthLadder::at(int width) const {
  const auto found = rungs_.find(width);
  NESTOR_CHECK(found != rungs_.end(), "no such rung");
  return found->second;
}

void WidthLadder::put(CoarseIndex rung) {
  NESTOR_CHECK(std::find(widths_.begin(), widths_.end(), rung.width()) != widths_.end(),
               "a rung of another ladder");
  const int width = rung.width();
  rungs_.insert_or_assign(width, std::move(rung));
}

Status WidthLadder::build(int width, const VectorSource& source, std::int64_t row_count) {
  if (std::find(widths_.begin(), widths_.end(), width) == widths_.end()) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("width {} is not on offer; there are {}", width, fmt::join(widths_, ", ")));
  }
  try {
    CoarseIndex rung(width, metric_);
    NESTOR_RETURN_IF_ERROR(rung.reserve(row_count));
    std::vector<std::uint64_t> ids;
    std::vector<float> prefixes;  // (ids, width)
    Status added;
    const auto flush = [&] {
      added = rung.add(ids, prefixes);
      ids.clear();
      prefixes.clear();
      return added.ok();
    };
    NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t id, std::span<const float> row) {
      NESTOR_CHECK(row.size() == static_cast<std::size_t>(full_width_), "a row of another width");
      ids.push_back(id);
      prefixes.insert(prefixes.end(), row.begin(), row.begin() + width);
      return ids.size() < kBlockRows || flush();
    }));
    if (!added.ok() || !flush()) return added;
    put(std::move(rung));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory,
                  fmt::format("no memory to build the index of width {}", width));
  }
  return {};
}

Status WidthLadder::add(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  const std::size_t row_floats = static_cast<std::size_t>(full_width_);
  if (rows.size() / row_floats != ids.size() || rows.size() % row_floats != 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} rows of width {} need {} values, {} were given", ids.size(),
                              full_width_, ids.size() * row_floats, rows.size()));
  }
  if (!all_finite(rows)) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("a NaN or an infinity among the values of {} rows; vectors must be finite",
                    ids.size()));
  }
  try {
    // All that can fail comes before the first rung changes, so that the rungs never differ: after
    // `reserve` only ids out of order are left, and those the first rung refuses.
    std::map<int, std::vector<float>> prefixes;  // width: (ids, width)
    for (auto& [width, rung] : rungs_) {
      NESTOR_RETURN_IF_ERROR(rung.reserve(static_cast<std::int64_t>(ids.size())));
      std::vector<float>& cut = prefixes[width];
      cut.reserve(ids.size() * static_cast<std::size_t>(width));
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const auto row = rows.subspan(i * row_floats, static_cast<std::size_t>(width));
        cut.insert(cut.end(), row.begin(), row.end());
      }
    }
    for (auto& [width, rung] : rungs_) NESTOR_RETURN_IF_ERROR(rung.add(ids, prefixes[width]));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return Status(StatusCode::kOutOfMemory, fmt::format("no memory to index {} rows", ids.size()));
  }
  return {};
}

void WidthLadder::remove(std::span<const std::uint64_t> ids) {
  for (auto& [width, rung] : rungs_) rung.remove(ids);
}

std::int64_t WidthLadder::bytes_with(std::int64_t more) const {
  std::int64_t bytes = 0;
  for (const auto& [width, rung] : rungs_) bytes += rung.bytes_with(more);
  return bytes;
}

std::int64_t WidthLadder::memory_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [width, rung] : rungs_) bytes += rung.memory_bytes();
  return bytes;
}

}  // namespace nestor::index
