#include "index/ladder_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <exception>
#include <new>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/scan_choice.h"

namespace nestor::index {
namespace {

constexpr std::int64_t kRetrainGrowth = 8;
// The codes move together when more than one row in this many is dead.
constexpr std::int64_t kSweepDivisor = 4;

Status out_of_memory(const char* action) {
  return {StatusCode::kOutOfMemory,
          fmt::format("ladder index: no memory to {}; free memory", action)};
}

// Every stride-th row, so that at most kMostTrainRows are taken and they are spread over all.
std::vector<float> sample_of(std::span<const float> rows, std::size_t width) {
  const std::size_t count = rows.size() / width;
  constexpr auto kMost = static_cast<std::size_t>(LadderIndex::kMostTrainRows);
  const std::size_t stride = (count + kMost - 1) / kMost;
  std::vector<float> sample;
  for (std::size_t row = 0; row < count; row += std::max<std::size_t>(stride, 1)) {
    const auto part = rows.subspan(row * width, width);
    sample.insert(sample.end(), part.begin(), part.end());
  }
  return sample;
}

// A sample of rows whose number is not known before: each is in it with the same probability.
// Source: J. Vitter, "Random sampling with a reservoir", algorithm R (1985).
class Reservoir {
 public:
  Reservoir(std::size_t width, std::int64_t most_rows)
      : width_(width), most_rows_(static_cast<std::size_t>(most_rows)) {}
  void offer(std::span<const float> row) {
    std::size_t place = seen_++;
    if (place >= most_rows_) {
      // SplitMix64: the same sample of the same rows each time.
      std::uint64_t mixed = (state_ += 0x9E3779B97F4A7C15);
      mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
      mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
      place = (mixed ^ mixed >> 31) % seen_;
      if (place >= most_rows_) return;
      std::copy_n(row.begin(), width_, rows_.begin() + static_cast<std::ptrdiff_t>(place * width_));
    } else {
      // Not doubled past what it may hold.
      if (rows_.size() == rows_.capacity()) {
        rows_.reserve(
            std::min(std::max<std::size_t>(2 * rows_.size(), 64 * width_), most_rows_ * width_));
      }
      rows_.insert(rows_.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(width_));
    }
  }
  [[nodiscard]] std::size_t seen() const { return seen_; }
  [[nodiscard]] const std::vector<float>& rows() const { return rows_; }

 private:
  std::size_t width_;
  std::size_t most_rows_;
  std::size_t seen_ = 0;
  std::uint64_t state_ = 0;
  std::vector<float> rows_;
};

}  // namespace

bool LadderShape::valid() const {
  return code().valid() && scan_width > 0 && scan_width <= width &&
         (scan_width == width || scan_width * bits % 32 == 0);
}

LadderLayout LadderShape::layout() const {
  const int scan_words = CodeShape{.width = scan_width, .bits = bits}.words();
  return {.scan_words = scan_words, .rest_words = code().words() - scan_words};
}

LadderIndex::LadderIndex(LadderShape shape)
    : shape_(shape),
      kernels_(&scan_kernels()),
      codes_(shape.layout()),
      generation_(next_generation()) {
  NESTOR_CHECK(shape.valid(), "a ladder of a shape that does not exist");
}

std::uint64_t LadderIndex::next_generation() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

std::int64_t LadderIndex::live_count() const { return codes_.live_count(); }
std::optional<std::uint64_t> LadderIndex::last_id() const { return codes_.last_id(); }

bool LadderIndex::wants_training() const {
  return trained() && live_count() >= kRetrainGrowth * trained_count_;
}

std::int64_t LadderIndex::memory_bytes() const {
  return codes_.memory_bytes() + static_cast<std::int64_t>(raw_.memory_bytes()) +
         (has_lists() ? lists_->memory_bytes() : 0);
}

Status LadderIndex::check_rows(std::span<const std::uint64_t> ids,
                               std::span<const float> rows) const {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  if (rows.size() / width != ids.size() || rows.size() % width != 0) {
    return {StatusCode::kInvalidArgument,
            fmt::format("ladder index: {} ids of width {} need {} values, {} were given",
                        ids.size(), width, ids.size() * width, rows.size())};
  }
  std::optional<std::uint64_t> last = codes_.last_id();
  for (const std::uint64_t id : ids) {
    if (last.has_value() && id <= *last) {
      return {StatusCode::kInvalidArgument,
              fmt::format("ladder index: row id {} comes after {}; ids must ascend and be above "
                          "all earlier ones",
                          id, *last)};
    }
    last = id;
  }
  if (!all_finite(rows)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("ladder index: a NaN or an infinity among the values of {} rows; vectors "
                        "must be finite",
                        ids.size())};
  }
  return {};
}

Status LadderIndex::add(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  NESTOR_RETURN_IF_ERROR(check_rows(ids, rows));
  try {
    return trained() ? add_codes(ids, rows) : add_raw(ids, rows);
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("add rows");
  }
}

Status LadderIndex::add_codes(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(shape_.code().words()));
  NESTOR_RETURN_IF_ERROR(codes_.reserve(static_cast<std::int64_t>(ids.size())));
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    quantizer_->encode(rows.subspan(i * width, width), words.data());
    codes_.append(ids[i], words.data());
  }
  return {};
}

Status LadderIndex::add_raw(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  const std::size_t width = static_cast<std::size_t>(shape_.width);
  const std::int64_t total = codes_.row_count() + static_cast<std::int64_t>(ids.size());
  if (total < kTrainRows) {
    const std::vector<std::uint32_t> none(static_cast<std::size_t>(shape_.code().words()));
    NESTOR_RETURN_IF_ERROR(codes_.reserve(static_cast<std::int64_t>(ids.size())));
    raw_.reserve(rows.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::span<float> row = raw_.extend(width);
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * width), width, row.begin());
      normalize(row);
      codes_.append(ids[i], none.data());
    }
    return {};
  }
  std::vector<float> sample(raw_.items().begin(), raw_.items().end());
  const std::vector<float> more = sample_of(rows, width);
  sample.insert(sample.end(), more.begin(), more.end());
  LadderIndex next(shape_);
  next.kernels_ = kernels_;
  next.quantizer_ = std::make_shared<const CodeQuantizer>(shape_.code(), sample, width);
  std::vector<std::uint64_t> kept;
  std::vector<float> kept_rows;
  for (std::int64_t position = 0; position < codes_.row_count(); ++position) {
    const std::uint64_t id = codes_.id_at(position);
    if (codes_.find(id) < 0) continue;
    kept.push_back(id);
    const auto row = raw_.items().subspan(static_cast<std::size_t>(position) * width, width);
    kept_rows.insert(kept_rows.end(), row.begin(), row.end());
  }
  NESTOR_RETURN_IF_ERROR(next.codes_.reserve(total));
  NESTOR_RETURN_IF_ERROR(next.add_codes(kept, kept_rows));
  NESTOR_RETURN_IF_ERROR(next.add_codes(ids, rows));
  next.trained_count_ = total;
  next.most_bytes_ = most_bytes_;
  *this = std::move(next);
  return {};
}

Result<LadderIndex> LadderIndex::build(LadderShape shape, const VectorSource& source,
                                       std::int64_t train_rows) {
  try {
    const std::size_t width = static_cast<std::size_t>(shape.width);
    LadderIndex built(shape);
    Reservoir sample(width, std::clamp(train_rows, kTrainRows, kMostTrainRows));
    Status failed;
    const auto wide_enough = [&](std::uint64_t id, std::span<const float> row) {
      if (row.size() >= width) return true;
      failed = {StatusCode::kDataLoss, fmt::format("row {} has {} components, expected at least {}",
                                                   id, row.size(), width)};
      return false;
    };
    NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t id, std::span<const float> row) {
      if (!wide_enough(id, row)) return false;
      sample.offer(row);
      return true;
    }));
    NESTOR_RETURN_IF_ERROR(failed);
    if (static_cast<std::int64_t>(sample.seen()) >= kTrainRows) {
      built.quantizer_ = std::make_shared<const CodeQuantizer>(shape.code(), sample.rows(), width);
    }
    NESTOR_RETURN_IF_ERROR(source.scan(0, [&](std::uint64_t id, std::span<const float> row) {
      if (!wide_enough(id, row)) return false;
      failed = built.add({&id, 1}, row.first(width));
      return failed.ok();
    }));
    NESTOR_RETURN_IF_ERROR(failed);
    if (built.trained()) built.trained_count_ = built.live_count();
    return built;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("build");
  }
}

void LadderIndex::remove(std::span<const std::uint64_t> ids) {
  for (const std::uint64_t id : ids) codes_.remove(id);
  const std::int64_t dead = codes_.row_count() - codes_.live_count();
  // Without codes the rows lie by position and there are few of them: they wait for the training.
  if (!trained() || dead * kSweepDivisor <= codes_.row_count() || !may_sweep()) return;
  if (codes_.sweep().ok()) generation_ = next_generation();
}

Result<LadderFilter> LadderIndex::filter(std::span<const std::uint64_t> ids) const {
  try {
    LadderFilter made{.generation = generation_, .words = {}, .count = 0};
    made.words.assign(codes_.live().size(), 0);
    for (const std::uint64_t id : ids) {
      const std::int64_t position = codes_.find(id);
      if (position < 0) continue;
      std::uint64_t& word = made.words[static_cast<std::size_t>(position / 64)];
      const std::uint64_t bit = std::uint64_t{1} << (position % 64);
      made.count += (word & bit) == 0 ? 1 : 0;
      word |= bit;
    }
    return made;
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("mark the rows of a filter");
  }
}

std::optional<std::vector<std::uint32_t>> LadderIndex::code_of(std::uint64_t id) const {
  const std::int64_t position = codes_.find(id);
  if (position < 0) return std::nullopt;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(shape_.code().words()));
  codes_.row(position, words.data());
  return words;
}

}  // namespace nestor::index
