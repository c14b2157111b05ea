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
#include "index/shared_array.h"
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
    const std::span<const std::uint64_t> all = ids.items();
    places.clear();
    // Places asked of memory that far ahead: they are spread over all of it.
    constexpr std::size_t kAhead = 8;
    // Ids without gaps, which is the rule, are where they are expected; with gaps, before that.
    const auto expected_of = [&](std::uint64_t id) {
      const std::uint64_t most = std::min<std::uint64_t>(id - all.front(), all.size() - 1);
      return all.begin() + static_cast<std::ptrdiff_t>(most);
    };
    auto from = all.begin();
    while (next < sorted.size() && places.size() < kBlock && sorted[next] <= all.back()) {
      if (next + kAhead < sorted.size()) __builtin_prefetch(&*expected_of(sorted[next + kAhead]));
      const auto expected = expected_of(sorted[next]);
      from = *expected == sorted[next] ? expected : std::lower_bound(from, expected, sorted[next]);
      if (*from != sorted[next]) break;
      places.push_back(static_cast<std::uint32_t>(from - all.begin()));
      __builtin_prefetch(scales.data() + places.back());
      __builtin_prefetch(checksums.data() + places.back());
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
    if (checksum(row_codes, words) != checksums.data()[row]) return false;
    if (row / 64 < checked.size()) {
      checked[row / 64].fetch_or(std::uint64_t{1} << (row % 64), std::memory_order_relaxed);
    }
    return true;
  }

  [[nodiscard]] std::size_t size() const { return ids.size(); }
  [[nodiscard]] std::uint64_t last_id() const { return ids.items().back(); }
  // Room for so many more rows. Throws std::bad_alloc.
  void reserve(std::size_t rows, std::size_t words) {
    ids.reserve(rows);
    scales.reserve(rows);
    squares.reserve(rows);
    checksums.reserve(rows);
    own.reserve(rows * words);
  }
  // REQUIRES: reserved.
  void append(std::uint64_t id, float scale, float square, std::uint32_t sum,
              std::span<const std::uint32_t> row_codes) {
    ids.append({&id, 1});
    scales.append({&scale, 1});
    squares.append({&square, 1});
    checksums.append({&sum, 1});
    own.append(row_codes);
  }
  [[nodiscard]] std::size_t memory_bytes() const {
    return ids.memory_bytes() + scales.memory_bytes() + squares.memory_bytes() +
           checksums.memory_bytes() + own.memory_bytes() + 8 * checked.size();
  }

  SharedArray<std::uint64_t> ids;
  SharedArray<float> scales;   // of a level
  SharedArray<float> squares;  // squared lengths of the rows as they came
  SharedArray<std::uint32_t> checksums;
  SharedArray<std::uint32_t> own;    // (rows, words), or empty where mapped
  std::unique_ptr<MappedFile> file;  // or null
  IndexIdentity identity;            // where mapped
  // One bit per row whose checksum was right; of a mapped file, else empty.
  mutable std::vector<std::atomic<std::uint64_t>> checked;
};

RowCache::RowCache(int width, Metric metric)
    : width_(width), metric_(metric), tail_(std::make_unique<Segment>()) {
  NESTOR_CHECK(width > 0 && width <= kMostCodeWidth, "a row cache of a width that does not exist");
}
RowCache::~RowCache() = default;
RowCache::RowCache(RowCache&&) noexcept = default;
RowCache& RowCache::operator=(RowCache&&) noexcept = default;
RowCache::RowCache(const RowCache& other)
    : width_(other.width_),
      metric_(other.metric_),
      segments_(other.segments_),
      tail_(std::make_unique<Segment>()) {
  tail_->ids = other.tail_->ids;
  tail_->scales = other.tail_->scales;
  tail_->squares = other.tail_->squares;
  tail_->checksums = other.tail_->checksums;
  tail_->own = other.tail_->own;
}

std::int64_t RowCache::row_count() const {
  std::size_t count = tail_->size();
  for (const auto& segment : segments_) count += segment->size();
  return static_cast<std::int64_t>(count);
}

std::int64_t RowCache::tail_count() const { return static_cast<std::int64_t>(tail_->size()); }

std::int64_t RowCache::memory_bytes() const {
  std::size_t bytes = tail_->memory_bytes();
  for (const auto& segment : segments_) bytes += segment->memory_bytes();
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
  std::optional<std::uint64_t> before = last_id();
  for (const std::uint64_t id : ids) {
    if (before.has_value() && id <= *before) {
      return {StatusCode::kInvalidArgument,
              fmt::format("row cache: row id {} comes after {}; ids must ascend", id, *before)};
    }
    before = id;
  }
  try {
    tail_->reserve(ids.size(), words);
    std::vector<std::uint32_t> coded(words);
    std::vector<std::uint8_t> levels(words * 4);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto row = rows.subspan(i * width, width);
      const double square = dot(row, row);
      const double unit = metric_ != Metric::kCosine ? 1 : square > 0 ? 1 / std::sqrt(square) : 0;
      float most = 0;
      for (const float value : row) most = std::max(most, std::abs(value));
      const float inverse = most > 0 ? kMostLevel / most : 0;
      for (std::size_t d = 0; d < width; ++d) {
        levels[d] = static_cast<std::uint8_t>(std::lround(row[d] * inverse) + kMiddle);
      }
      std::fill(coded.begin(), coded.end(), 0U);
      pack_codes({.width = width_, .bits = 8}, levels.data(), coded.data());
      tail_->append(ids[i], static_cast<float>(most / kMostLevel * unit),
                    static_cast<float>(square), checksum(coded.data(), words), coded);
    }
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("add rows");
  }
  return {};
}

std::optional<std::uint64_t> RowCache::last_id() const {
  if (tail_->size() > 0) return tail_->last_id();
  if (segments_.empty()) return {};
  return segments_.back()->last_id();
}

std::vector<RowSegment> RowCache::segments() const {
  std::vector<RowSegment> all;
  for (const auto& segment : segments_) {
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
  to.reserve(from.size(), words);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::uint64_t id = from.ids.data()[i];
    if (!live(id)) continue;
    const std::uint32_t* const row = from.codes() + i * words;
    if (checksum(row, words) != from.checksums.data()[i]) {
      return damaged(from.file == nullptr ? "row cache" : from.file->path(),
                     fmt::format("the checksum of row {} is wrong", id));
    }
    to.append(id, from.scales.data()[i], from.squares.data()[i], from.checksums.data()[i],
              {row, words});
  }
  return {};
}

Status RowCache::gather_tail(std::int64_t most_rows,
                             const std::function<bool(std::uint64_t)>& live) {
  if (tail_count() == 0) return {};
  std::size_t first = segments_.size();
  std::size_t gathered = tail_->size();
  while (first > 0) {
    const std::size_t before = segments_[first - 1]->size();
    if (before >= 2 * gathered || gathered + before > static_cast<std::size_t>(most_rows)) break;
    gathered += before;
    --first;
  }
  try {
    auto tail = std::make_unique<Segment>();
    for (std::size_t i = first; i < segments_.size(); ++i) {
      NESTOR_RETURN_IF_ERROR(copy_rows(*segments_[i], live, *tail));
    }
    NESTOR_RETURN_IF_ERROR(copy_rows(*tail_, live, *tail));
    segments_.resize(first);
    tail_ = std::move(tail);
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
    const Segment& tail = *tail_;
    const std::span<const std::uint32_t> codes = tail.own.items();
    // The rows first: without the other file they mean nothing.
    NESTOR_RETURN_IF_ERROR(
        write_file_atomic(path + std::string(kRowsEnding),
                          {reinterpret_cast<const char*>(codes.data()), codes.size() * 4}));
    ByteWriter writer;
    writer.raw(kMagic);
    writer.u32(static_cast<std::uint32_t>(width_));
    writer.u32(static_cast<std::uint32_t>(metric_));
    writer.u64(tail.size());
    for (const std::uint64_t id : tail.ids.items()) writer.u64(id);
    writer.floats(tail.scales.items());
    writer.floats(tail.squares.items());
    for (const std::uint32_t sum : tail.checksums.items()) writer.u32(sum);
    return write_index_file(path, {identity, writer.take()});
  } catch (const std::exception&) {  // bad_alloc or length_error
    return out_of_memory("write rows");
  }
}

Status RowCache::map_tail(const std::string& path, const IndexIdentity& identity,
                          std::int64_t row_count) {
  if (row_count <= 0 || row_count > tail_count()) {
    return {StatusCode::kFailedPrecondition,
            fmt::format("{}: {} rows are to be mapped, there are {} new ones", path, row_count,
                        tail_count())};
  }
  try {
    const auto rows = static_cast<std::size_t>(row_count);
    const std::size_t words = (static_cast<std::size_t>(width_) + 3) / 4;
    NESTOR_ASSIGN_OR_RETURN(MappedFile file, MappedFile::open(path + std::string(kRowsEnding)));
    if (file.bytes().size() != rows * words * 4) {
      return damaged(
          path, fmt::format("{} bytes, {} were written", file.bytes().size(), rows * words * 4));
    }
    auto mapped = std::make_shared<Segment>();
    auto rest = std::make_unique<Segment>();
    rest->reserve(tail_->size() - rows, words);
    const auto part = [rows](const auto& from, auto& first, auto& last) {
      first.reserve(rows);
      first.append(from.items().first(rows));
      last.append(from.items().subspan(rows));
    };
    part(tail_->ids, mapped->ids, rest->ids);
    part(tail_->scales, mapped->scales, rest->scales);
    part(tail_->squares, mapped->squares, rest->squares);
    part(tail_->checksums, mapped->checksums, rest->checksums);
    rest->own.append(tail_->own.items().subspan(rows * words));
    mapped->identity = identity;
    mapped->checked = std::vector<std::atomic<std::uint64_t>>((rows + 63) / 64);
    mapped->file = std::make_unique<MappedFile>(std::move(file));
    segments_.push_back(std::move(mapped));
    tail_ = std::move(rest);
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
    auto segment = std::make_shared<Segment>();
    segment->reserve(count, 0);
    const std::span<std::uint64_t> ids = segment->ids.extend(count);
    const std::span<float> scales = segment->scales.extend(count);
    const std::span<float> squares = segment->squares.extend(count);
    for (std::uint64_t& id : ids) reader.u64(id);
    reader.floats(scales);
    reader.floats(squares);
    for (std::uint32_t& sum : segment->checksums.extend(count)) reader.u32(sum);
    for (std::uint64_t i = 0; i < count; ++i) {
      const bool ascends =
          i > 0 ? ids[i] > ids[i - 1] : segments_.empty() || ids[0] > segments_.back()->last_id();
      if (!ascends || !std::isfinite(scales[i]) || !std::isfinite(squares[i])) {
        return damaged(path,
                       fmt::format("row id {} stands out of order or has no finite scale", ids[i]));
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
    const std::size_t parts = segments_.size() + (tail_->size() > 0 ? 1 : 0);
    for (std::size_t part = 0; part < parts; ++part) {
      const Segment* const segment = part < segments_.size() ? segments_[part].get() : tail_.get();
      if (segment->file != nullptr && !segment->file->unchanged()) {
        return damaged(segment->file->path(), "it was changed by another process");
      }
      while (next < sorted.size() && sorted[next] <= segment->last_id()) {
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
            return damaged(
                segment->file == nullptr ? "row cache" : segment->file->path(),
                fmt::format("the checksum of row {} is wrong", segment->ids.data()[row]));
          }
          double score = static_cast<double>(coded.step) * segment->scales.data()[row] *
                         (static_cast<double>(sums[i]) - offset);
          if (metric_ == Metric::kL2)
            score = 2 * score - segment->squares.data()[row] - query_square;
          best.offer({.id = segment->ids.data()[row], .score = static_cast<float>(score)});
        }
      }
      if (next < sorted.size() && sorted[next] <= segment->last_id()) break;
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
