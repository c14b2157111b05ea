#include "index/coarse_index.h"

#include <faiss/utils/distances.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <new>
#include <optional>

#include "core/bytes.h"
#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/top_candidates.h"

namespace nestor::index {
namespace {

// Rows scored before the best of them are picked: 1,024 scores stay in the first-level cache.
constexpr std::int64_t kScanRows = 1024;
// Rows are swept out once more than one in this many is dead.
constexpr std::int64_t kSweepDivisor = 4;

// The widest row there can be: bring-your-own vectors end there.
constexpr std::uint32_t kMostWidth = 65536;
// Rounding each of 65,536 components to float moves a squared length by less than 1e-6.
constexpr double kUnitTolerance = 1e-4;

Status out_of_memory(const char* action, std::int64_t row_count, int width) {
  return Status(
      StatusCode::kOutOfMemory,
      fmt::format("coarse index: no memory to {} {} rows of width {}; free memory or use a "
                  "narrower coarse width",
                  action, row_count, width));
}

Status damaged(const std::string& what) {
  return Status(StatusCode::kDataLoss,
                "coarse index: " + what + "; the cache is damaged, build it anew from the store");
}

// Rows were normalised when they were written: anything else was not written by us.
bool is_unit_or_zero(std::span<const float> row) {
  const double square = dot(row, row);
  return square == 0 || std::abs(square - 1) < kUnitTolerance;
}

}  // namespace

struct CoarseIndex::Impl {
  Impl(int row_dim, Metric compared_by) : dim(row_dim), metric(compared_by) {}

  [[nodiscard]] std::size_t row_count() const { return ids.size(); }
  [[nodiscard]] const float* row(std::size_t position) const {
    return rows.data() + position * static_cast<std::size_t>(dim);
  }
  // Position of `id`, or row_count().
  [[nodiscard]] std::size_t find(std::uint64_t id) const {
    const auto found = std::lower_bound(ids.begin(), ids.end(), id);
    return found != ids.end() && *found == id ? static_cast<std::size_t>(found - ids.begin())
                                              : row_count();
  }
  void reserve(std::size_t more);
  void sweep();
  // Of `count` rows from `first` on.
  void score(const float* query, std::size_t first, std::size_t count, float* scores) const {
    const auto width = static_cast<std::size_t>(dim);
    if (metric != Metric::kL2) {
      faiss::fvec_inner_products_ny(scores, query, row(first), width, count);
      return;
    }
    faiss::fvec_L2sqr_ny(scores, query, row(first), width, count);
    for (std::size_t i = 0; i < count; ++i) scores[i] = -scores[i];
  }

  int dim;
  std::vector<float> rows;  // (row_count, dim); for cosines unit rows or zero rows
  Metric metric;
  std::vector<std::uint64_t> ids;   // (row_count), ascending
  std::vector<std::uint8_t> alive;  // (row_count), 0 or 1
  std::int64_t dead_count = 0;
  std::optional<std::uint64_t> last_id;  // the highest ever added, dead ones too
};

// Grows by doubling, as vectors do, for a reserve of just enough would copy all rows at each add.
void CoarseIndex::Impl::reserve(std::size_t more) {
  const std::size_t needed = row_count() + more;
  if (needed > ids.capacity()) ids.reserve(std::max(needed, 2 * ids.capacity()));
  if (needed > alive.capacity()) alive.reserve(std::max(needed, 2 * alive.capacity()));
  const std::size_t needed_floats = needed * static_cast<std::size_t>(dim);
  if (needed_floats > rows.capacity()) {
    rows.reserve(std::max(needed_floats, 2 * rows.capacity()));
  }
}

// Moving rows down allocates nothing, so it cannot fail.
void CoarseIndex::Impl::sweep() {
  const std::size_t row_floats = static_cast<std::size_t>(dim);
  float* base = rows.data();
  std::size_t kept = 0;
  for (std::size_t position = 0; position < row_count(); ++position) {
    if (alive[position] == 0) continue;
    if (kept != position) {
      std::copy_n(base + position * row_floats, row_floats, base + kept * row_floats);
      ids[kept] = ids[position];
    }
    ++kept;
  }
  ids.resize(kept);
  alive.assign(kept, 1);
  rows.resize(kept * row_floats);
  dead_count = 0;
}

CoarseIndex::CoarseIndex(int width, Metric metric) : impl_(nullptr) {
  NESTOR_CHECK(width > 0, "a coarse index needs a width");
  impl_ = std::make_unique<Impl>(width, metric);
}
CoarseIndex::~CoarseIndex() = default;
CoarseIndex::CoarseIndex(CoarseIndex&&) noexcept = default;
CoarseIndex& CoarseIndex::operator=(CoarseIndex&&) noexcept = default;

Status CoarseIndex::reserve(std::int64_t row_count) {
  NESTOR_CHECK(row_count >= 0, "a negative number of rows");
  try {
    impl_->reserve(static_cast<std::size_t>(row_count));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("make room for", row_count, width());
  }
  return {};
}

Status CoarseIndex::add(std::span<const std::uint64_t> ids, std::span<const float> vectors) {
  Impl& impl = *impl_;
  const std::size_t row_floats = static_cast<std::size_t>(impl.dim);
  if (vectors.size() / row_floats != ids.size() || vectors.size() % row_floats != 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("coarse index: {} ids of width {} need {} values, {} were given",
                              ids.size(), row_floats, ids.size() * row_floats, vectors.size()));
  }
  std::optional<std::uint64_t> last_id = impl.last_id;
  for (const std::uint64_t id : ids) {
    if (last_id.has_value() && id <= *last_id) {
      return Status(
          StatusCode::kInvalidArgument,
          fmt::format("coarse index: row id {} comes after {}; ids must ascend and be above "
                      "all earlier ones",
                      id, *last_id));
    }
    last_id = id;
  }
  if (!all_finite(vectors)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("coarse index: a NaN or an infinity among the values of {} rows; "
                              "vectors must be finite",
                              ids.size()));
  }
  NESTOR_RETURN_IF_ERROR(reserve(static_cast<std::int64_t>(ids.size())));
  const std::size_t first = impl.row_count();
  impl.rows.insert(impl.rows.end(), vectors.begin(), vectors.end());
  // In place, without scratch: nothing after `reserve` can run out of memory.
  for (std::size_t i = 0; impl.metric == Metric::kCosine && i < ids.size(); ++i) {
    const std::span<float> row(impl.rows.data() + (first + i) * row_floats, row_floats);
    if (!normalize(row)) std::fill(row.begin(), row.end(), 0.0F);
  }
  impl.ids.insert(impl.ids.end(), ids.begin(), ids.end());
  impl.alive.insert(impl.alive.end(), ids.size(), 1);
  impl.last_id = last_id;
  return {};
}

void CoarseIndex::remove(std::span<const std::uint64_t> ids) {
  Impl& impl = *impl_;
  for (const std::uint64_t id : ids) {
    const std::size_t position = impl.find(id);
    if (position == impl.row_count() || impl.alive[position] == 0) continue;
    impl.alive[position] = 0;
    ++impl.dead_count;
  }
  if (impl.dead_count * kSweepDivisor > static_cast<std::int64_t>(impl.row_count())) impl.sweep();
}

// FAISS's kernels score the rows; picking the best is ours. IndexFlat::search is not used: which of
// several equal rows its heap keeps at the cut is not defined (the lower id leaves first), it takes
// tombstones through a virtual call per row, and it starts OpenMP and BLAS threads.
Result<std::vector<Candidate>> CoarseIndex::search(
    std::span<const float> query, std::int64_t count,
    const std::function<bool(std::uint64_t id)>& admits, const StopCheck& stop) const {
  const Impl& impl = *impl_;
  const std::size_t row_floats = static_cast<std::size_t>(impl.dim);
  if (query.size() < row_floats || !all_finite(query.first(row_floats))) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("coarse index: a query needs {} finite values; it has {}{}", row_floats,
                    query.size(), query.size() < row_floats ? "" : ", not all finite"));
  }
  if (count < 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("coarse index: {} candidates were asked for; the least is 0", count));
  }
  try {
    std::vector<float> prefix(query.begin(), query.begin() + impl.dim);
    if (impl.metric == Metric::kCosine) normalize(prefix);
    TopCandidates best(std::min(count, live_count()));
    float scores[kScanRows];
    const auto row_count = static_cast<std::int64_t>(impl.row_count());
    for (std::int64_t first = 0; first < row_count; first += kScanRows) {
      const std::size_t block = static_cast<std::size_t>(std::min(kScanRows, row_count - first));
      const std::size_t base = static_cast<std::size_t>(first);
      NESTOR_RETURN_IF_ERROR(stop.check());
      impl.score(prefix.data(), base, block, scores);
      for (std::size_t i = 0; i < block; ++i) {
        if (scores[i] >= best.threshold() && impl.alive[base + i] != 0 &&
            (!admits || admits(impl.ids[base + i]))) {
          best.offer({.id = impl.ids[base + i], .score = scores[i]});
        }
      }
    }
    return best.take();
  } catch (const std::bad_alloc&) {
    return out_of_memory("rank", std::min(count, live_count()), width());
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal, fmt::format("coarse index: FAISS says: {}", error.what()));
  }
}

int CoarseIndex::width() const { return impl_->dim; }
Metric CoarseIndex::metric() const { return impl_->metric; }

std::int64_t CoarseIndex::live_count() const {
  return static_cast<std::int64_t>(impl_->row_count()) - impl_->dead_count;
}

std::int64_t CoarseIndex::memory_bytes() const {
  return static_cast<std::int64_t>(impl_->rows.capacity() * sizeof(float) +
                                   impl_->alive.capacity() +
                                   impl_->ids.capacity() * sizeof(std::uint64_t));
}

std::int64_t CoarseIndex::bytes_of(int width, std::int64_t row_count) {
  return row_count * (std::int64_t{4} * width + 9);
}

std::int64_t CoarseIndex::bytes_with(std::int64_t more) const {
  const auto needed = static_cast<std::int64_t>(impl_->row_count()) + more;
  const auto room = static_cast<std::int64_t>(impl_->ids.capacity());
  if (needed <= room) return memory_bytes();
  return memory_bytes() + bytes_of(width(), std::max(needed, 2 * room));
}

std::string CoarseIndex::serialize() const {
  const Impl& impl = *impl_;
  ByteWriter writer;
  writer.u32(static_cast<std::uint32_t>(width()));
  writer.u64(static_cast<std::uint64_t>(live_count()));
  for (std::size_t position = 0; position < impl.row_count(); ++position) {
    if (impl.alive[position] != 0) writer.u64(impl.ids[position]);
  }
  for (std::size_t position = 0; position < impl.row_count(); ++position) {
    if (impl.alive[position] == 0) continue;
    writer.floats({impl.row(position), static_cast<std::size_t>(width())});
  }
  return writer.take();
}

Result<CoarseIndex> CoarseIndex::parse(std::string_view bytes, Metric metric) {
  ByteReader reader(bytes);
  std::uint32_t width = 0;
  std::uint64_t count = 0;
  if (!reader.u32(width) || !reader.u64(count)) {
    return damaged(fmt::format("{} bytes, the shortest has 12", bytes.size()));
  }
  if (width == 0 || width > kMostWidth) {
    return damaged(fmt::format("width {}, expected 1 to {}", width, kMostWidth));
  }
  const std::uint64_t row_bytes = sizeof(std::uint64_t) + sizeof(float) * std::uint64_t{width};
  const std::uint64_t rest_bytes = reader.rest().size();
  if (rest_bytes % row_bytes != 0 || rest_bytes / row_bytes != count) {
    return damaged(fmt::format("{} bytes after the head do not hold {} rows of {} bytes",
                               rest_bytes, count, row_bytes));
  }
  try {
    std::vector<std::uint64_t> ids(count);
    for (std::uint64_t& id : ids) reader.u64(id);
    CoarseIndex index(static_cast<int>(width), metric);
    index.impl_->reserve(count);
    std::vector<float> row(width);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (i > 0 && ids[i] <= ids[i - 1]) {
        return damaged(fmt::format("row id {} after {}", ids[i], ids[i - 1]));
      }
      reader.floats(row);
      if (!all_finite(row)) return damaged(fmt::format("row {} is not finite", ids[i]));
      if (metric == Metric::kCosine && !is_unit_or_zero(row)) {
        return damaged(fmt::format("row {} is neither of unit length nor zero", ids[i]));
      }
      index.impl_->rows.insert(index.impl_->rows.end(), row.begin(), row.end());
    }
    index.impl_->alive.assign(count, 1);
    if (!ids.empty()) index.impl_->last_id = ids.back();
    index.impl_->ids = std::move(ids);
    return index;
  } catch (const std::bad_alloc&) {
    return out_of_memory("read", static_cast<std::int64_t>(count), static_cast<int>(width));
  } catch (const std::exception& error) {
    return Status(StatusCode::kInternal, fmt::format("coarse index: FAISS says: {}", error.what()));
  }
}

}  // namespace nestor::index
