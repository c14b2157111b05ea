#include "index/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <optional>
#include <random>
#include <unordered_map>

#include "core/bytes.h"
#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/exact_search.h"

namespace nestor::index {
namespace {

constexpr std::string_view kMagic = "NSTRCALB";
constexpr std::int64_t kQuestions = 96;
constexpr std::int64_t kNeighbours = 10;
// Standard deviation a component of what is added to a row of unit length, times the square root of
// its width: a question lies further from its answers than passages from one another. Measured:
// index/CODES.md.
constexpr double kQuestionNoise = 0.69;
constexpr std::int64_t kFirstScan = 64;
constexpr std::int64_t kMostScan = 1 << 17;
constexpr std::uint32_t kNeverFound = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kSeed = 20;

double unit_factor(std::span<const float> row) {
  const double square = dot(row, row);
  return square > 0 ? 1 / std::sqrt(square) : 0;
}

std::int64_t grown(std::int64_t count, double factor) {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(count) * factor));
}

// The plan measured on other collections with real questions, for another recall than .99: twice as
// deep misses half as much, about (index/CODES.md). Made-up questions of some collections are
// easier than real ones, so a measurement makes it deeper and never shallower.
LadderPlan built_in_plan(const LadderShape& shape, std::int64_t row_count, std::int64_t k,
                         double recall) {
  constexpr LadderPlan kLeast = {.scan_count = 200, .rank_count = 40};
  const double factor = .01 / (1 - recall);
  LadderPlan plan = default_ladder_plan(shape, row_count, k);
  plan.scan_count = std::max(grown(plan.scan_count, std::pow(factor, .7)), kLeast.scan_count);
  plan.rank_count =
      std::max(grown(plan.rank_count, std::pow(factor, .35)), std::max(k, kLeast.rank_count));
  plan.scan_count = std::max(plan.scan_count, plan.rank_count);
  if (shape.scan_width == shape.width) plan.scan_count = plan.rank_count;
  return plan;
}

}  // namespace

Result<std::vector<float>> make_questions(const VectorSource& source, int width,
                                          std::int64_t row_count, std::int64_t count) {
  const std::int64_t step = std::max<std::int64_t>(row_count / count, 1);
  const auto floats = static_cast<std::size_t>(width);
  std::vector<float> questions;
  std::int64_t position = 0;
  try {
    NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t, std::span<const float> row) {
      if (position++ % step == step / 2) questions.insert(questions.end(), row.begin(), row.end());
      return questions.size() < static_cast<std::size_t>(count) * floats;
    }));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "no memory for questions made of rows");
  }
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> noise(
      0, static_cast<float>(kQuestionNoise / std::sqrt(static_cast<double>(width))));
  for (std::size_t i = 0; i + floats <= questions.size(); i += floats) {
    const auto question = std::span(questions).subspan(i, floats);
    const auto factor = static_cast<float>(unit_factor(question));
    for (float& value : question) value = value * factor + noise(random);
  }
  return questions;
}

Result<Calibration> Calibration::measure(const LadderIndex& codes, const VectorSource& source) {
  NESTOR_CHECK(codes.trained(), "calibration without codes");
  try {
    Calibration made;
    const std::int64_t row_count = codes.live_count();
    const auto width = static_cast<std::size_t>(codes.shape().width);
    NESTOR_ASSIGN_OR_RETURN(const std::vector<float> questions,
                            make_questions(source, codes.shape().width, row_count, kQuestions));
    NESTOR_ASSIGN_OR_RETURN(const auto truth,
                            search_exactly(source, questions, codes.shape().width, kNeighbours));
    for (std::size_t q = 0; q * width < questions.size(); ++q) {
      std::unordered_map<std::uint64_t, Need> wanted;
      for (const Candidate& one : truth[q]) wanted[one.id] = {kNeverFound, kNeverFound};
      std::size_t missing = wanted.size();
      for (std::int64_t scan = kFirstScan; missing > 0; scan = grown(scan, std::sqrt(2.0))) {
        NESTOR_ASSIGN_OR_RETURN(const auto found,
                                codes.search(std::span(questions).subspan(q * width, width),
                                             {.scan_count = scan, .rank_count = scan}));
        for (std::size_t i = 0; i < found.size(); ++i) {
          const auto known = wanted.find(found[i].id);
          if (known == wanted.end()) continue;
          if (known->second.scan_count == kNeverFound) {
            known->second.scan_count = static_cast<std::uint32_t>(scan);
            --missing;
          }
          known->second.rank_count = static_cast<std::uint32_t>(i + 1);
        }
        if (scan >= std::min(row_count, kMostScan)) break;
      }
      for (const auto& [id, need] : wanted) made.needs_.push_back(need);
    }
    made.row_count_ = made.needs_.empty() ? 0 : row_count;
    return made;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "no memory to measure what a search has to spend");
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal,
                  fmt::format("measuring what a search has to spend failed: {}", error.what()));
  }
}

bool Calibration::outgrown(std::int64_t row_count) const {
  if (!measured()) return row_count >= kLeastRows;
  return row_count >= 2 * row_count_ || row_count <= row_count_ / 2;
}

LadderPlan Calibration::plan(const LadderShape& shape, std::int64_t row_count, std::int64_t k,
                             double recall) const {
  NESTOR_CHECK(recall > 0 && recall < 1, "a recall target outside of 0 to 1");
  // Half of what may be missed is kept for what the sample does not show.
  constexpr double kUse = .5;
  // What a ranked candidate costs beside a scanned row whose code is scored to its end.
  constexpr std::int64_t kRankCost = 5;
  const LadderPlan least = built_in_plan(shape, row_count, k, recall);
  if (!measured()) return least;
  const auto allowed = static_cast<std::int64_t>(
      std::floor(kUse * (1 - recall) * static_cast<double>(needs_.size())));
  std::vector<std::uint32_t> scans;
  for (const Need& need : needs_) scans.push_back(need.scan_count);
  std::sort(scans.begin(), scans.end());
  LadderPlan best = {.scan_count = kMostScan, .rank_count = kMostScan};
  const auto needed = std::ssize(needs_) - allowed;
  // Fewer rows scored to their end are too few whatever the candidates.
  for (auto at = std::max<std::int64_t>(needed - 1, 0); at < std::ssize(scans); ++at) {
    const std::uint32_t scan = scans[static_cast<std::size_t>(at)];
    if (scan == kNeverFound || needed < 1) break;
    if (at + 1 < std::ssize(scans) && scans[static_cast<std::size_t>(at + 1)] == scan) continue;
    std::vector<std::uint32_t> ranks;
    for (const Need& need : needs_) {
      if (need.scan_count <= scan) ranks.push_back(need.rank_count);
    }
    std::nth_element(ranks.begin(), ranks.begin() + (needed - 1), ranks.end());
    const LadderPlan plan = {.scan_count = scan,
                             .rank_count = ranks[static_cast<std::size_t>(needed - 1)]};
    if (plan.scan_count + kRankCost * plan.rank_count <
        best.scan_count + kRankCost * best.rank_count) {
      best = plan;
    }
  }
  // Measured between 14,000 and 500,000 rows: index/CODES.md.
  const double growth = static_cast<double>(row_count) / static_cast<double>(row_count_);
  const std::int64_t deeper = std::max<std::int64_t>(k - kNeighbours, 0);
  best.scan_count =
      std::max(grown(best.scan_count, std::sqrt(growth)) + 16 * deeper, least.scan_count);
  best.rank_count =
      std::max(grown(best.rank_count, std::sqrt(std::sqrt(growth))) + 4 * deeper, least.rank_count);
  best.scan_count = std::max(best.scan_count, best.rank_count);
  if (shape.scan_width == shape.width) best.scan_count = best.rank_count;
  return best;
}

std::string Calibration::serialize() const {
  ByteWriter writer;
  writer.raw(kMagic);
  writer.u64(static_cast<std::uint64_t>(row_count_));
  writer.u64(needs_.size());
  for (const Need& need : needs_) {
    writer.u32(need.scan_count);
    writer.u32(need.rank_count);
  }
  return writer.take();
}

Result<Calibration> Calibration::parse(std::string_view bytes) {
  ByteReader reader(bytes);
  std::string_view magic;
  std::uint64_t rows = 0;
  std::uint64_t count = 0;
  reader.raw(kMagic.size(), magic);
  reader.u64(rows);
  if (!reader.u64(count) || magic != kMagic ||
      count > static_cast<std::uint64_t>(kQuestions * kNeighbours) || (count == 0) != (rows == 0) ||
      rows > (std::uint64_t{1} << 48)) {
    return Status(StatusCode::kDataLoss, "this calibration is damaged; it is measured anew");
  }
  Calibration made;
  made.row_count_ = static_cast<std::int64_t>(rows);
  made.needs_.resize(count);
  for (Need& need : made.needs_) {
    reader.u32(need.scan_count);
    reader.u32(need.rank_count);
    if (need.scan_count == 0 || need.rank_count == 0) {
      return Status(StatusCode::kDataLoss, "this calibration is damaged; it is measured anew");
    }
  }
  if (!reader.finished()) {
    return Status(StatusCode::kDataLoss, "this calibration is damaged; it is measured anew");
  }
  return made;
}

}  // namespace nestor::index
