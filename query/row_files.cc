#include "query/row_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "core/bytes.h"
#include "core/folder.h"
#include "core/log.h"
#include "core/macros.h"
#include "index/index_file.h"
#include "query/cache_identity.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

constexpr std::string_view kMagic = "NSTRSEGS";
constexpr std::string_view kSegmentEnding = ".rowseg";
constexpr std::size_t kBlockRows = 1024;

using storage::Collection;
using storage::DocumentStore;

struct SegmentName {
  std::string name;  // in the cache folder
  std::uint64_t sequence = 0;
  Hash128 digest;
};

std::string encode_list(std::span<const SegmentName> segments) {
  ByteWriter writer;
  writer.raw(kMagic);
  writer.u64(segments.size());
  for (const SegmentName& segment : segments) {
    writer.string(segment.name);
    writer.u64(segment.sequence);
    writer.u64(segment.digest.low);
    writer.u64(segment.digest.high);
  }
  return writer.take();
}

Result<std::vector<SegmentName>> decode_list(const std::string& path, std::string_view bytes) {
  ByteReader reader(bytes);
  std::string_view magic;
  std::uint64_t count = 0;
  std::vector<SegmentName> segments;
  reader.raw(kMagic.size(), magic);
  reader.u64(count);
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    std::string_view name;
    SegmentName segment;
    reader.string(name);
    reader.u64(segment.sequence);
    reader.u64(segment.digest.low);
    reader.u64(segment.digest.high);
    segment.name = name;
    segments.push_back(std::move(segment));
  }
  if (magic != kMagic || !reader.finished()) {
    return Status(StatusCode::kDataLoss, path + ": this list of row segments is damaged");
  }
  return segments;
}

// Segments that the list does not name: of a list before, or written by a process that died.
void remove_unlisted(const DocumentStore& store, const Collection& collection,
                     const std::set<std::string>& listed) {
  const std::string prefix = fmt::format("{}-", collection.id);
  const auto entries = list_folder(store.cache_folder());
  if (!entries.ok()) return;
  for (const FolderEntry& entry : entries.value()) {
    const std::size_t ending = entry.name.find(kSegmentEnding);
    if (!entry.name.starts_with(prefix) || ending == std::string::npos) continue;
    if (listed.contains(entry.name.substr(0, ending + kSegmentEnding.size()))) continue;
    std::error_code ignored;
    std::filesystem::remove(store.cache_folder() + "/" + entry.name, ignored);
  }
}

// Rows of the store above those the cache has. False where the tail grew past what memory is for
// and `write` is null.
Result<bool> add_rows(const StoreSource& source, const Collection& collection,
                      std::int64_t tail_rows, const std::function<Status()>& write,
                      CachedRows& cached) {
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;  // (ids, width)
  Status status;
  bool fits = true;
  const auto flush = [&] {
    status = cached.rows.add(ids, rows);
    ids.clear();
    rows.clear();
    if (status.ok() && cached.rows.tail_count() >= tail_rows) {
      fits = static_cast<bool>(write);
      if (fits) status = write();
    }
    return status.ok() && fits;
  };
  rows.reserve(kBlockRows * static_cast<std::size_t>(collection.width));
  const auto last = cached.rows.last_id();
  NESTOR_RETURN_IF_ERROR(source.scan(last.has_value() ? *last + 1 : 0,
                                     [&](std::uint64_t id, std::span<const float> row) {
                                       ids.push_back(id);
                                       rows.insert(rows.end(), row.begin(), row.end());
                                       return ids.size() < kBlockRows || flush();
                                     }));
  if (status.ok() && fits && !ids.empty()) flush();
  NESTOR_RETURN_IF_ERROR(status);
  return fits;
}

// The cache as the files have it, or why they are of no use.
Result<CachedRows> open_files(const DocumentStore& store, const DocumentStore::View& view,
                              const Collection& collection) {
  const std::string path = row_list_path(store, collection);
  NESTOR_ASSIGN_OR_RETURN(const index::IndexFile file, index::read_index_file(path));
  const auto of_no_use = [&](const std::string& why) {
    return Status(StatusCode::kDataLoss, fmt::format("{}: {}", path, why));
  };
  if (const std::string other = describe_cache_mismatch(file.identity, collection);
      !other.empty()) {
    return of_no_use(other);
  }
  NESTOR_ASSIGN_OR_RETURN(
      const auto changes,
      store.changes_since(view, collection, file.identity.sequence, file.identity.digest));
  if (!changes.has_value()) {
    return of_no_use(fmt::format("made at sequence {}, from which this store cannot be caught up",
                                 file.identity.sequence));
  }
  NESTOR_ASSIGN_OR_RETURN(const auto segments, decode_list(path, file.payload));
  CachedRows cached{.rows = index::RowCache(collection.width, index::Metric::kCosine),
                    .cached_sequence = file.identity.sequence};
  for (const SegmentName& segment : segments) {
    const auto opened =
        cached.rows.open_segment(fmt::format("{}/{}", store.cache_folder(), segment.name));
    // A segment that is listed and not there is damage; that there is no list is none.
    if (opened.status().code() == StatusCode::kNotFound) {
      return of_no_use("a segment is missing: " + opened.status().message());
    }
    NESTOR_RETURN_IF_ERROR(opened.status());
    const index::IndexIdentity& found = opened.value();
    index::IndexIdentity wanted = cache_identity(collection);
    wanted.sequence = segment.sequence;
    wanted.digest = segment.digest;
    if (const std::string other = index::describe_mismatch(found, wanted); !other.empty()) {
      return of_no_use(segment.name + " is another one: " + other);
    }
  }
  return cached;
}

}  // namespace

Status check_row_files(const DocumentStore& store, const DocumentStore::View& view,
                       const Collection& collection) {
  NESTOR_ASSIGN_OR_RETURN(const CachedRows cached, open_files(store, view, collection));
  const std::optional<std::uint64_t> last = cached.rows.last_id();
  if (!last.has_value()) return {};
  // Ranking reads a row with its checksum; what it is ranked by is all one.
  std::vector<float> question(static_cast<std::size_t>(collection.width), 0);
  question.front() = 1;
  std::vector<std::uint64_t> ids;
  Status status;
  const auto flush = [&] {
    status = cached.rows.rank(question, ids, 1).status();
    ids.clear();
    return status.ok();
  };
  NESTOR_RETURN_IF_ERROR(store.scan_rows(view, collection, 0, [&](const storage::Row& row) {
    if (row.id > *last) return false;
    ids.push_back(row.id);
    return ids.size() < kBlockRows || flush();
  }));
  if (status.ok() && !ids.empty()) flush();
  return status;
}

Result<std::int64_t> removed_rows_in_row_files(const DocumentStore& store,
                                               const DocumentStore::View& view,
                                               const Collection& collection) {
  NESTOR_ASSIGN_OR_RETURN(const CachedRows cached, open_files(store, view, collection));
  const std::optional<std::uint64_t> last = cached.rows.last_id();
  std::int64_t live = 0;
  if (last.has_value()) {
    NESTOR_RETURN_IF_ERROR(store.scan_rows(view, collection, 0, [&](const storage::Row& row) {
      live += row.id <= *last ? 1 : 0;
      return row.id < *last;
    }));
  }
  return cached.rows.row_count() - live;
}

std::string row_list_path(const DocumentStore& store, const Collection& collection) {
  return fmt::format("{}/{}-rows.index", store.cache_folder(), collection.id);
}

Result<std::string> write_rows(const DocumentStore& store, const Collection& collection,
                               const index::RowCache& rows) {
  std::vector<index::RowSegment> written = rows.segments();
  std::string tail;
  if (rows.tail_count() > 0) {
    tail = fmt::format("{}/{}-{}-{}{}", store.cache_folder(), collection.id, collection.sequence,
                       *rows.last_id(), kSegmentEnding);
    NESTOR_RETURN_IF_ERROR(rows.write_tail(tail, cache_identity(collection)));
    written.push_back({.path = tail, .identity = cache_identity(collection)});
  }
  std::vector<SegmentName> segments;
  std::set<std::string> listed;
  for (const index::RowSegment& segment : written) {
    segments.push_back({.name = std::filesystem::path(segment.path).filename().string(),
                        .sequence = segment.identity.sequence,
                        .digest = segment.identity.digest});
    listed.insert(segments.back().name);
  }
  NESTOR_RETURN_IF_ERROR(index::write_index_file(
      row_list_path(store, collection), {cache_identity(collection), encode_list(segments)}));
  remove_unlisted(store, collection, listed);
  return tail;
}

Status save_rows(const DocumentStore& store, const Collection& collection,
                 const std::function<bool(std::uint64_t)>& live, CachedRows& cached,
                 std::int64_t tail_rows) {
  NESTOR_RETURN_IF_ERROR(cached.rows.gather_tail(tail_rows, live));
  NESTOR_ASSIGN_OR_RETURN(const std::string tail, write_rows(store, collection, cached.rows));
  cached.cached_sequence = collection.sequence;
  return tail.empty()
             ? Status()
             : cached.rows.map_tail(tail, cache_identity(collection), cached.rows.tail_count());
}

void remove_rows(const DocumentStore& store, const Collection& collection) {
  std::error_code ignored;
  std::filesystem::remove(row_list_path(store, collection), ignored);
  remove_unlisted(store, collection, {});
}

Result<std::optional<CachedRows>> load_rows(const DocumentStore& store,
                                            const DocumentStore::View& view,
                                            const Collection& collection, const LogCallback& log,
                                            std::int64_t tail_rows) {
  const StoreSource source(store, view, collection);
  const auto fill = [&](CachedRows& cached) {
    const auto write = [&]() -> Status {
      NESTOR_ASSIGN_OR_RETURN(const std::string tail, write_rows(store, collection, cached.rows));
      cached.cached_sequence = collection.sequence;
      return cached.rows.map_tail(tail, cache_identity(collection), cached.rows.tail_count());
    };
    return add_rows(source, collection, tail_rows,
                    store.read_only() ? std::function<Status()>() : write, cached);
  };
  Result<CachedRows> cached = open_files(store, view, collection);
  if (cached.ok()) {
    NESTOR_ASSIGN_OR_RETURN(const bool fits, fill(cached.value()));
    // Every row that is there has to be in it, and not too many that are gone.
    const std::int64_t rows = cached.value().rows.row_count();
    if (fits && rows >= collection.passages && rows <= collection.passages * 3 / 2 + 1024) {
      return std::optional<CachedRows>(std::move(cached).value());
    }
  } else if (cached.status().code() != StatusCode::kNotFound) {
    log_to(log, LogLevel::kInfo, "row cache made anew: " + cached.status().message());
  }
  if (store.read_only()) return std::optional<CachedRows>();
  CachedRows made{.rows = index::RowCache(collection.width, index::Metric::kCosine)};
  NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const bool fits, fill(made));
  return std::optional<CachedRows>(std::move(made));
}

}  // namespace nestor::query
