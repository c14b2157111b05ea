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
#include "index/shared_array.h"
#include "index/top_candidates.h"

namespace nestor::index {
namespace {

// Rows that lie together, and are scored before the best of them are picked: 1,024 scores stay in
// the first-level cache.
constexpr std::size_t kChunkRows = 1024;
constexpr std::size_t kMarkBits = 64;
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
  Impl(int row_width, Metric compared_by)
      : width(static_cast<std::size_t>(row_width)), metric(compared_by) {}

  [[nodiscard]] std::size_t row_count() const { return ids.size(); }
  [[nodiscard]] std::uint64_t id(std::size_t position) const { return ids.data()[position]; }
  [[nodiscard]] const float* row(std::size_t position) const {
    return chunks[position / kChunkRows].data() + position % kChunkRows * width;
  }
  [[nodiscard]] bool is_alive(std::size_t position) const {
    return (alive[position / kMarkBits] >> (position % kMarkBits) & 1) != 0;
  }
  // Position of `id`, or row_count().
  [[nodiscard]] std::size_t find(std::uint64_t wanted) const {
    const auto all = ids.items();
    const auto found = std::lower_bound(all.begin(), all.end(), wanted);
    return found != all.end() && *found == wanted ? static_cast<std::size_t>(found - all.begin())
                                                  : row_count();
  }
  void reserve(std::size_t more);
  // The place of one more row. REQUIRES: reserved.
  std::span<float> append(std::uint64_t id);
  void sweep();
  // Of the rows of one chunk.
  void score(const float* query, std::size_t chunk, std::size_t count, float* scores) const {
    const float* const rows = chunks[chunk].data();
    if (metric != Metric::kL2) {
      faiss::fvec_inner_products_ny(scores, query, rows, width, count);
      return;
    }
    faiss::fvec_L2sqr_ny(scores, query, rows, width, count);
    for (std::size_t i = 0; i < count; ++i) scores[i] = -scores[i];
  }

  std::size_t width;
  Metric metric;
  // (row_count, width), kChunkRows in each; for cosines unit rows or zero rows.
  std::vector<SharedArray<float>> chunks;
  SharedArray<std::uint64_t> ids;    // (row_count), ascending
  std::vector<std::uint64_t> alive;  // one bit per row
  std::size_t dead_count = 0;
  std::optional<std::uint64_t> last_id;  // the highest ever added, dead ones too
};

void CoarseIndex::Impl::reserve(std::size_t more) {
  const std::size_t needed = row_count() + more;
  ids.reserve(more);
  alive.reserve((needed + kMarkBits - 1) / kMarkBits);
  const std::size_t needed_chunks = (needed + kChunkRows - 1) / kChunkRows;
  if (needed_chunks > chunks.size()) chunks.resize(needed_chunks);
  for (std::size_t chunk = row_count() / kChunkRows; chunk < needed_chunks; ++chunk) {
    const std::size_t end = std::min(needed - chunk * kChunkRows, kChunkRows);
    SharedArray<float>& rows = chunks[chunk];
    rows.reserve(end * width - rows.size());
  }
}

std::span<float> CoarseIndex::Impl::append(std::uint64_t id) {
  const std::size_t position = row_count();
  ids.append({&id, 1});
  if (position % kMarkBits == 0) alive.push_back(0);
  alive.back() |= std::uint64_t{1} << (position % kMarkBits);
  return chunks[position / kChunkRows].extend(width);
}

void CoarseIndex::Impl::sweep() {
  Impl kept(static_cast<int>(width), metric);
  kept.reserve(row_count() - dead_count);
  for (std::size_t position = 0; position < row_count(); ++position) {
    if (!is_alive(position)) continue;
    std::copy_n(row(position), width, kept.append(id(position)).begin());
  }
  kept.last_id = last_id;
  *this = std::move(kept);
}

CoarseIndex::CoarseIndex(int width, Metric metric) : impl_(nullptr) {
  NESTOR_CHECK(width > 0, "a coarse index needs a width");
  impl_ = std::make_unique<Impl>(width, metric);
}
CoarseIndex::~CoarseIndex() = default;
CoarseIndex::CoarseIndex(const CoarseIndex& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
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
  const std::size_t row_floats = impl.width;
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
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::span<float> row = impl.append(ids[i]);
    std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(i * row_floats), row_floats,
                row.begin());
    if (impl.metric == Metric::kCosine && !normalize(row)) std::fill(row.begin(), row.end(), 0.0F);
  }
  impl.last_id = last_id;
  return {};
}

void CoarseIndex::remove(std::span<const std::uint64_t> ids) {
  Impl& impl = *impl_;
  for (const std::uint64_t id : ids) {
    const std::size_t position = impl.find(id);
    if (position == impl.row_count() || !impl.is_alive(position)) continue;
    impl.alive[position / kMarkBits] &= ~(std::uint64_t{1} << (position % kMarkBits));
    ++impl.dead_count;
  }
  if (impl.dead_count * kSweepDivisor <= impl.row_count()) return;
  try {
    impl.sweep();
  } catch (const std::exception&) {
    // No memory for that: the dead rows stay masked until the next call.
  }
}

// Scored by FAISS's kernel, but not by IndexFlat::search: which of several equal rows its heap
// keeps at the cut is not defined (the lower id leaves first), with k >= 100 it allocates inside an
// OpenMP region, where running out of memory ends the program, and it takes deleted rows through a
// virtual call per row. The kernel knows no threads, so no OpenMP team is ever started and searches
// of many threads do not oversubscribe.
Result<std::vector<Candidate>> CoarseIndex::search(
    std::span<const float> query, std::int64_t count,
    const std::function<bool(std::uint64_t id)>& admits, const StopCheck& stop) const {
  const Impl& impl = *impl_;
  const std::size_t row_floats = impl.width;
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
    std::vector<float> prefix(query.begin(),
                              query.begin() + static_cast<std::ptrdiff_t>(row_floats));
    if (impl.metric == Metric::kCosine) normalize(prefix);
    TopCandidates best(std::min(count, live_count()));
    float scores[kChunkRows];
    for (std::size_t base = 0; base < impl.row_count(); base += kChunkRows) {
      const std::size_t block = std::min(kChunkRows, impl.row_count() - base);
      NESTOR_RETURN_IF_ERROR(stop.check());
      impl.score(prefix.data(), base / kChunkRows, block, scores);
      for (std::size_t i = 0; i < block; ++i) {
        if (scores[i] >= best.threshold() && impl.is_alive(base + i) &&
            (!admits || admits(impl.id(base + i)))) {
          best.offer({.id = impl.id(base + i), .score = scores[i]});
        }
      }
    }
    return best.take();
  } catch (const std::bad_alloc&) {
    return out_of_memory("rank", std::min(count, live_count()), width());
  }
}

int CoarseIndex::width() const { return static_cast<int>(impl_->width); }
Metric CoarseIndex::metric() const { return impl_->metric; }

std::int64_t CoarseIndex::live_count() const {
  return static_cast<std::int64_t>(impl_->row_count() - impl_->dead_count);
}

std::int64_t CoarseIndex::memory_bytes() const {
  std::size_t bytes = impl_->ids.memory_bytes() + impl_->alive.capacity() * sizeof(std::uint64_t);
  for (const SharedArray<float>& chunk : impl_->chunks) bytes += chunk.memory_bytes();
  return static_cast<std::int64_t>(bytes);
}

std::int64_t CoarseIndex::bytes_of(int width, std::int64_t row_count) {
  return row_count * (std::int64_t{4} * width + 9);
}

// A chunk that is not full is copied when it grows, as are the ids.
std::int64_t CoarseIndex::bytes_with(std::int64_t more) const {
  const auto rows = static_cast<std::int64_t>(impl_->row_count());
  return memory_bytes() + bytes_of(width(), more + static_cast<std::int64_t>(kChunkRows)) +
         16 * (rows + more);
}

std::string CoarseIndex::serialize() const {
  const Impl& impl = *impl_;
  ByteWriter writer;
  writer.u32(static_cast<std::uint32_t>(width()));
  writer.u64(static_cast<std::uint64_t>(live_count()));
  for (std::size_t position = 0; position < impl.row_count(); ++position) {
    if (impl.is_alive(position)) writer.u64(impl.id(position));
  }
  for (std::size_t position = 0; position < impl.row_count(); ++position) {
    if (!impl.is_alive(position)) continue;
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
      std::copy(row.begin(), row.end(), index.impl_->append(ids[i]).begin());
    }
    if (!ids.empty()) index.impl_->last_id = ids.back();
    return index;
  } catch (const std::bad_alloc&) {
    return out_of_memory("read", static_cast<std::int64_t>(count), static_cast<int>(width));
  }
}

}  // namespace nestor::index
