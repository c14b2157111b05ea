#include "index/row_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>

#include "core/bytes.h"
#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "index/code_quantizer.h"
#include "index/scan_choice.h"
#include "index/top_candidates.h"

namespace nestor::index {
namespace {

constexpr std::string_view kMagic = "NSTRROWS";
constexpr std::string_view kRowsEnding = ".rows";
constexpr int kMiddle = 128;
constexpr float kMostLevel = 127;
// Up to so many bytes rows are touched where they are mapped; above they are read, for each page
// that is touched brings 15 neighbours into this process's memory. Reading costs 1 us a row more.
constexpr std::int64_t kMostTouched = std::int64_t{1} << 30;
// Candidates scored in one call of the kernel.
constexpr std::size_t kBlock = 512;

Status out_of_memory(const char* action) {
  return {StatusCode::kOutOfMemory, fmt::format("row cache: no memory to {}; free memory", action)};
}

Status damaged(const std::string& path, const std::string& what) {
  return {StatusCode::kDataLoss,
          fmt::format("{}: {}; this row cache is damaged, it is built anew from the store", path,
                      what)};
}

std::uint32_t checksum(const std::uint32_t* codes, std::size_t words) {
  return static_cast<std::uint32_t>(
      hash64({reinterpret_cast<const char*>(codes), words * sizeof(std::uint32_t)}));
}

// The query divided by its length, whose square is given.
CodeQuery coded_query(CodeShape shape, std::span<const float> query, double square) {
  const double unit = square > 0 ? 1 / std::sqrt(square) : 0;
  std::vector<double> values(static_cast<std::size_t>(shape.width));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = unit * query[i];
  return integer_query(shape, values);
}

}  // namespace

struct RowCache::Segment {
  [[nodiscard]] const std::uint32_t* codes() const {
    return file == nullptr ? own.data()
                           : reinterpret_cast<const std::uint32_t*>(file->bytes().data());
  }
  // Places of the rows from sorted[next] on that are here, at most kBlock; returns where it
  // stopped.
  std::size_t find(std::span<const std::uint64_t> sorted, std::size_t next,
                   std::vector<std::uint32_t>& places) const {
    places.clear();
    // Places asked of memory that far ahead: they are spread over all of it.
    constexpr std::size_t kAhead = 8;
    // Ids without gaps, which is the rule, are where they are expected; with gaps, before that.
    const auto expected_of = [&](std::uint64_t id) {
      const std::uint64_t most = std::min<std::uint64_t>(id - ids.front(), ids.size() - 1);
      return ids.begin() + static_cast<std::ptrdiff_t>(most);
    };
    auto from = ids.begin();
    while (next < sorted.size() && places.size() < kBlock && sorted[next] <= ids.back()) {
      if (next + kAhead < sorted.size()) __builtin_prefetch(&*expected_of(sorted[next + kAhead]));
      const auto expected = expected_of(sorted[next]);
      from = *expected == sorted[next] ? expected : std::lower_bound(from, expected, sorted[next]);
      if (*from != sorted[next]) break;
      places.push_back(static_cast<std::uint32_t>(from - ids.begin()));
      __builtin_prefetch(&scales[places.back()]);
      __builtin_prefetch(&checksums[places.back()]);
      ++next;
    }
    return next;
  }

  // The codes of `rows` into `out` where they are to be read.
  Status fetch(std::span<const std::uint32_t> rows, std::size_t words, bool reading,
               std::vector<std::uint32_t>& out) const {
    if (!reading) return {};
    out.resize(rows.size() * words);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      char* const to = reinterpret_cast<char*>(out.data() + i * words);
      if (file == nullptr) {
        std::memcpy(to, own.data() + rows[i] * words, words * 4);
      } else {
        NESTOR_RETURN_IF_ERROR(file->read(rows[i] * words * 4, {to, words * 4}));
      }
    }
    return {};
  }

  // The checksum of a row costs as much as its score, so a row is checked once: its file is never
  // written again, and unchanged() is asked before each use.
  bool sound(const std::uint32_t* row_codes, std::size_t words, std::uint32_t row) const {
    if (row / 64 < checked.size() &&
        (checked[row / 64].load(std::memory_order_relaxed) >> (row % 64) & 1) != 0) {
      return true;
    }
    if (checksum(row_codes, words) != checksums[row]) return false;
    if (row / 64 < checked.size()) {
      checked[row / 64].fetch_or(std::uint64_t{1} << (row % 64), std::memory_order_relaxed);
    }
    return true;
  }

  std::vector<std::uint64_t> ids;
  std::vector<float> scales;   // of a level
  std::vector<float> squares;  // squared lengths of the rows as they came
  std::vector<std::uint32_t> checksums;
  std::vector<std::uint32_t> own;    // (rows, words), or empty where mapped
  std::unique_ptr<MappedFile> file;  // or null
  IndexIdentity identity;            // where mapped
  // One bit a row whose checksum was right; of a mapped file, else empty.
  mutable std::vector<std::atomic<std::uint64_t>> checked;
};

RowCache::RowCache(int width, Metric metric) : width_(width), metric_(metric) {
  NESTOR_CHECK(width > 0 && width <= kMostCodeWidth, "a row cache of a width that does not exist");
}
RowCache::~RowCache() = default;
RowCache::RowCache(RowCache&&) noexcept = default;
RowCache& RowCache::operator=(RowCache&&) noexcept = default;

std::int64_t RowCache::row_count() const {
  std::size_t count = 0;
  for (const auto& segment : segments_) count += segment->ids.size();
  return static_cast<std::int64_t>(count);
}

std::int64_t RowCache::tail_count() const {
  return segments_.empty() || segments_.back()->file != nullptr
             ? 0
             : static_cast<std::int64_t>(segments_.back()->ids.size());
}

std::int64_t RowCache::memory_bytes() const {
  std::size_t bytes = 0;
  for (const auto& s : segments_) {
    bytes += 8 * s->ids.capacity() +
             4 * (s->scales.capacity() + s->squares.capacity() + s->checksums.capacity() +
                  s->own.capacity()) +
             8 * s->checked.size();
  }
  return static_cast<std::int64_t>(bytes);
}

std::int64_t RowCache::disk_bytes_a_row() const { return (width_ + 3) / 4 * 4 + 20; }

Status RowCache::add(std::span<const std::uint64_t> ids, std::span<const float> rows) {
  const std::size_t width = static_cast<std::size_t>(width_);
  const std::size_t words = (width + 3) / 4;
  if (rows.size() / width != ids.size() || rows.size() % width != 0 || !all_finite(rows)) {
    return {StatusCode::kInvalidArgument,
            fmt::format("row cache: {} ids of width {} need {} finite values, {} were given",
                        ids.size(), width, ids.size() * width, rows.size())};
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool first = i == 0 && row_count() == 0;
    const std::uint64_t before = i > 0 ? ids[i - 1] : first ? 0 : segments_.back()->ids.back();
    if (!first && ids[i] <= before) {
      return {StatusCode::kInvalidArgument,
              fmt::format("row cache: row id {} comes after {}; ids must ascend", ids[i], before)};
    }
  }
  if (ids.empty()) return {};
  try {
    auto next = std::make_unique<Segment>();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = rows.subspan(i * width, width);
      const double square = dot(row, row);
      const double unit = metric_ != Metric::kCosine ? 1 : square > 0 ? 1 / std::sqrt(square) : 0;
      float most = 0;
      for (const float value : row) most = std::max(most, std::abs(value));
      const float inverse = most > 0 ? kMostLevel / most : 0;
      std::vector<std::uint32_t> coded(words);
      std::vector<std::uint8_t> levels(words * 4);
      for (std::size_t d = 0; d < width; ++d) {
        levels[d] = static_cast<std::uint8_t>(std::lround(row[d] * inverse) + kMiddle);
      }
      pack_codes({.width = width_, .bits = 8}, levels.data(), coded.data());
      next->ids.push_back(ids[i]);
      next->scales.push_back(static_cast<float>(most / kMostLevel * unit));
      next->squares.push_back(static_cast<float>(square));
      next->checksums.push_back(checksum(coded.data(), words));
      next->own.insert(next->own.end(), coded.begin(), coded.end());
    }
    if (tail_count() == 0) {
      segments_.push_back(std::move(next));
      return {};
    }
    Segment& tail = *segments_.back();
    const auto join = [](auto& to, const auto& from) {
      const std::size_t needed = to.size() + from.size();
      if (needed > to.capacity()) to.reserve(std::max(needed, to.capacity() * 2));
      return [&to, &from] { to.insert(to.end(), from.begin(), from.end()); };
    };
    const auto a = join(tail.ids, next->ids);
    const auto b = join(tail.scales, next->scales);
    const auto c = join(tail.squares, next->squares);
    const auto d = join(tail.checksums, next->checksums);
    const auto e = join(tail.own, next->own);
    a(), b(), c(), d(), e();
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("add rows");
  }
  return {};
}

std::optional<std::uint64_t> RowCache::last_id() const {
  if (segments_.empty()) return {};
  return segments_.back()->ids.back();
}

std::vector<RowSegment> RowCache::segments() const {
  std::vector<RowSegment> all;
  for (const auto& segment : segments_) {
    if (segment->file == nullptr) continue;
    std::string path = segment->file->path();
    path.resize(path.size() - kRowsEnding.size());
    all.push_back({.path = std::move(path), .identity = segment->identity});
  }
  return all;
}

Status RowCache::copy_rows(const Segment& from, const std::function<bool(std::uint64_t)>& live,
                           Segment& to) const {
  const std::size_t words = (static_cast<std::size_t>(width_) + 3) / 4;
  if (from.file != nullptr && !from.file->unchanged()) {
    return damaged(from.file->path(), "it was changed by another process");
  }
  for (std::size_t i = 0; i < from.ids.size(); ++i) {
    if (!live(from.ids[i])) continue;
    const std::uint32_t* const row = from.codes() + i * words;
    if (checksum(row, words) != from.checksums[i]) {
      return damaged(from.file == nullptr ? "row cache" : from.file->path(),
                     fmt::format("the checksum of row {} is wrong", from.ids[i]));
    }
    to.ids.push_back(from.ids[i]);
    to.scales.push_back(from.scales[i]);
    to.squares.push_back(from.squares[i]);
    to.checksums.push_back(from.checksums[i]);
    to.own.insert(to.own.end(), row, row + words);
  }
  return {};
}

Status RowCache::gather_tail(std::int64_t most_rows,
                             const std::function<bool(std::uint64_t)>& live) {
  if (tail_count() == 0) return {};
  std::size_t first = segments_.size() - 1;
  std::size_t gathered = segments_.back()->ids.size();
  while (first > 0) {
    const std::size_t before = segments_[first - 1]->ids.size();
    if (before >= 2 * gathered || gathered + before > static_cast<std::size_t>(most_rows)) break;
    gathered += before;
    --first;
  }
  try {
    auto tail = std::make_unique<Segment>();
    for (std::size_t i = first; i < segments_.size(); ++i) {
      NESTOR_RETURN_IF_ERROR(copy_rows(*segments_[i], live, *tail));
    }
    segments_.resize(first);
    if (!tail->ids.empty()) segments_.push_back(std::move(tail));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("gather small segments");
  }
  return {};
}

Status RowCache::write_tail(const std::string& path, const IndexIdentity& identity) const {
  if (tail_count() == 0) {
    return {StatusCode::kFailedPrecondition, path + ": there are no new rows to write"};
  }
  try {
    const Segment& tail = *segments_.back();
    // The rows first: without the other file they mean nothing.
    NESTOR_RETURN_IF_ERROR(
        write_file_atomic(path + std::string(kRowsEnding),
                          {reinterpret_cast<const char*>(tail.own.data()), tail.own.size() * 4}));
    ByteWriter writer;
    writer.raw(kMagic);
    writer.u32(static_cast<std::uint32_t>(width_));
    writer.u32(static_cast<std::uint32_t>(metric_));
    writer.u64(tail.ids.size());
    for (const std::uint64_t id : tail.ids) writer.u64(id);
    writer.floats(tail.scales);
    writer.floats(tail.squares);
    for (const std::uint32_t sum : tail.checksums) writer.u32(sum);
    return write_index_file(path, {identity, writer.take()});
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("write rows");
  }
}

Status RowCache::map_tail(const std::string& path, const IndexIdentity& identity) {
  if (tail_count() == 0) {
    return {StatusCode::kFailedPrecondition, path + ": there are no new rows to map"};
  }
  try {
    Segment& tail = *segments_.back();
    NESTOR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path + std::string(kRowsEnding)));
    if (file.bytes().size() != tail.own.size() * 4) {
      return damaged(
          path, fmt::format("{} bytes, {} were written", file.bytes().size(), tail.own.size() * 4));
    }
    tail.identity = identity;
    tail.checked = std::vector<std::atomic<std::uint64_t>>((tail.ids.size() + 63) / 64);
    tail.file = std::make_unique<MappedFile>(std::move(file));
    std::vector<std::uint32_t>().swap(tail.own);  // `= {}` would keep its memory
    tail.ids.shrink_to_fit();
    tail.scales.shrink_to_fit();
    tail.squares.shrink_to_fit();
    tail.checksums.shrink_to_fit();
  } catch (const std::exception&) {  // bad_alloc
    return out_of_memory("map rows");
  }
  return {};
}

Result<IndexIdentity> RowCache::open_segment(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(const IndexFile read, read_index_file(path));
  try {
    ByteReader reader(read.payload);
    std::string_view magic;
    std::uint32_t width = 0;
    std::uint32_t metric = 0;
    std::uint64_t count = 0;
    reader.raw(kMagic.size(), magic);
    reader.u32(width);
    reader.u32(metric);
    if (!reader.u64(count) || magic != kMagic || width != static_cast<std::uint32_t>(width_) ||
        metric != static_cast<std::uint32_t>(metric_)) {
      return damaged(path, fmt::format("rows of width {} and metric {}, expected {} and {}", width,
                                       metric, width_, static_cast<std::uint32_t>(metric_)));
    }
    const std::uint64_t row_bytes = static_cast<std::uint64_t>((width_ + 3) / 4) * 4;
    if (count == 0 || reader.rest().size() % 20 != 0 || reader.rest().size() / 20 != count) {
      return damaged(path, fmt::format("{} bytes for {} rows of 20", reader.rest().size(), count));
    }
    auto segment = std::make_unique<Segment>();
    segment->ids.resize(count);
    segment->scales.resize(count);
    segment->squares.resize(count);
    segment->checksums.resize(count);
    for (std::uint64_t& id : segment->ids) reader.u64(id);
    reader.floats(segment->scales);
    reader.floats(segment->squares);
    for (std::uint32_t& sum : segment->checksums) reader.u32(sum);
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool ascends =
          i > 0 ? segment->ids[i] > segment->ids[i - 1]
                : segments_.empty() || segment->ids[0] > segments_.back()->ids.back();
      if (!ascends || !std::isfinite(segment->scales[i]) || !std::isfinite(segment->squares[i])) {
        return damaged(path, fmt::format("row id {} stands out of order or has no finite scale",
                                         segment->ids[i]));
      }
    }
    NESTOR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path + std::string(kRowsEnding)));
    if (file.bytes().size() / row_bytes != count || file.bytes().size() % row_bytes != 0) {
      return damaged(path + ".rows", fmt::format("{} bytes for {} rows of {}", file.bytes().size(),
                                                 count, row_bytes));
    }
    segment->checked = std::vector<std::atomic<std::uint64_t>>((count + 63) / 64);
    segment->file = std::make_unique<MappedFile>(std::move(file));
    segment->identity = read.identity;
    segments_.push_back(std::move(segment));
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("hold a segment");
  }
  return read.identity;
}

Result<std::vector<Candidate>> RowCache::rank(std::span<const float> query,
                                              std::span<const std::uint64_t> ids,
                                              std::int64_t count) const {
  const std::size_t width = static_cast<std::size_t>(width_);
  if (query.size() < width || !all_finite(query.first(width)) || count < 0) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("row cache: a query needs {} finite values and a count of at least "
                              "0; it has {} values and the count {}",
                              width, query.size(), count));
  }
  try {
    const CodeShape shape{.width = width_, .bits = 8};
    const std::size_t words = static_cast<std::size_t>(shape.words());
    const double query_square = dot(query.first(width), query.first(width));
    const CodeQuery coded =
        coded_query(shape, query, metric_ == Metric::kCosine ? query_square : 1);
    std::int32_t offset = 0;
    for (const std::int8_t weight : coded.weights) offset += kMiddle * weight;
    std::vector<std::uint64_t> sorted(ids.begin(), ids.end());
    std::sort(sorted.begin(), sorted.end());
    TopCandidates best(std::min(count, static_cast<std::int64_t>(ids.size())));
    std::vector<std::uint32_t> rows;
    const bool reading = row_count() * static_cast<std::int64_t>(4 * words) > kMostTouched;
    std::vector<std::uint32_t> fetched;
    std::vector<std::int32_t> sums(kBlock);
    std::size_t next = 0;
    for (const auto& segment : segments_) {
      if (segment->file != nullptr && !segment->file->unchanged()) {
        return damaged(segment->file->path(), "it was changed by another process");
      }
      while (next < sorted.size() && sorted[next] <= segment->ids.back()) {
        next = segment->find(sorted, next, rows);
        if (rows.empty()) break;
        NESTOR_RETURN_IF_ERROR(segment->fetch(rows, words, reading, fetched));
        const std::uint32_t* const codes = reading ? fetched.data() : segment->codes();
        scan_kernels().score_rows({.codes = codes,
                                   .words = shape.words(),
                                   .bits = 8,
                                   .row_weights = coded.row_weights.data(),
                                   .rows = reading ? nullptr : rows.data(),
                                   .count = static_cast<std::int64_t>(rows.size()),
                                   .scores = sums.data()});
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const std::uint32_t row = rows[i];
          if (!segment->sound(codes + (reading ? i : row) * words, words, row)) {
            return damaged(segment->file == nullptr ? "row cache" : segment->file->path(),
                           fmt::format("the checksum of row {} is wrong", segment->ids[row]));
          }
          double score = static_cast<double>(coded.step) * segment->scales[row] *
                         (static_cast<double>(sums[i]) - offset);
          if (metric_ == Metric::kL2) score = 2 * score - segment->squares[row] - query_square;
          best.offer({.id = segment->ids[row], .score = static_cast<float>(score)});
        }
      }
      if (next < sorted.size() && sorted[next] <= segment->ids.back()) break;
    }
    if (next < sorted.size()) {
      return Status(StatusCode::kNotFound,
                    fmt::format("row cache: row {} is not in it; bring it level with the store",
                                sorted[next]));
    }
    return best.take();
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("rank candidates");
  }
}

Result<std::vector<Candidate>> RowCache::finalists(std::span<const float> query,
                                                   std::span<const std::uint64_t> ids,
                                                   std::int64_t wanted) const {
  NESTOR_ASSIGN_OR_RETURN(std::vector<Candidate> ranked, rank(query, ids, std::ssize(ids)));
  if (wanted <= 0 || std::ssize(ranked) <= wanted) return ranked;
  const double least = ranked[static_cast<std::size_t>(wanted - 1)].score - 2 * kScoreError;
  while (ranked.back().score < least) ranked.pop_back();
  return ranked;
}

}  // namespace nestor::index
