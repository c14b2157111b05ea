#include "query/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "index/index_file.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

constexpr std::size_t kCatchUpBlockRows = 1024;

std::string ladder_path(const storage::DocumentStore& store, const storage::Collection& collection,
                        int width) {
  return fmt::format("{}/{}-{}.index", store.cache_folder(), collection.id, width);
}

index::IndexIdentity identity_of(const storage::Collection& collection, int width) {
  return {.collection = collection.name,
          .collection_id = collection.id,
          .space = collection.external ? "external" : collection.space,
          .width = width,
          .sequence = collection.sequence,
          .digest = collection.digest};
}

// Adds the rows that came after the file was written.
Status add_new_rows(const StoreSource& source, std::uint64_t first_row_id, int full_width,
                    index::WidthLadder& ladder, std::int64_t& added) {
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;  // (ids, full_width)
  Status status;
  const auto flush = [&] {
    status = ladder.add(ids, rows);
    added += static_cast<std::int64_t>(ids.size());
    ids.clear();
    rows.clear();
    return status.ok();
  };
  rows.reserve(kCatchUpBlockRows * static_cast<std::size_t>(full_width));
  NESTOR_RETURN_IF_ERROR(
      source.scan(first_row_id, [&](std::uint64_t id, std::span<const float> row) {
        ids.push_back(id);
        rows.insert(rows.end(), row.begin(), row.end());
        return ids.size() < kCatchUpBlockRows || flush();
      }));
  if (status.ok() && !ids.empty()) flush();
  return status;
}

// The ladder from its file, or nothing and `note` says why.
Result<std::optional<LoadedLadder>> from_file(const storage::DocumentStore& store,
                                              const storage::DocumentStore::View& view,
                                              const storage::Collection& collection,
                                              std::string& note) {
  LoadedLadder loaded;
  loaded.ladder = std::make_unique<index::WidthLadder>(collection.width, !collection.external);
  const int width = loaded.ladder->default_width();
  const std::string path = ladder_path(store, collection, width);
  auto file = index::read_index_file(path);
  if (!file.ok()) {
    if (file.status().code() != StatusCode::kNotFound) note = file.status().message();
    return std::optional<LoadedLadder>();
  }
  const index::IndexIdentity found = file.value().identity;
  index::IndexIdentity wanted = identity_of(collection, width);
  // A file of another moment is fine: the journal knows what came since.
  wanted.sequence = found.sequence;
  wanted.digest = found.digest;
  if (const std::string mismatch = index::describe_mismatch(found, wanted); !mismatch.empty()) {
    note = path + ": " + mismatch;
    return std::optional<LoadedLadder>();
  }
  NESTOR_ASSIGN_OR_RETURN(const auto changes,
                          store.changes_since(view, collection, found.sequence, found.digest));
  if (!changes.has_value()) {
    note = fmt::format("{} was made at sequence {}, from which this store cannot be caught up",
                       path, found.sequence);
    return std::optional<LoadedLadder>();
  }
  auto rung = index::CoarseIndex::parse(file.value().payload);
  if (!rung.ok() || rung.value().width() != width) {
    note = rung.ok() ? path + " holds another width than it says" : rung.status().message();
    return std::optional<LoadedLadder>();
  }
  loaded.ladder->put(std::move(rung).value());
  loaded.ladder->remove(changes->removed_row_ids);
  const StoreSource source(store, view, collection);
  std::int64_t added = 0;
  NESTOR_RETURN_IF_ERROR(
      add_new_rows(source, changes->first_new_row_id, collection.width, *loaded.ladder, added));
  if (loaded.ladder->at(width).live_count() != collection.passages) {
    note = fmt::format("{} holds {} rows after catching up, the store {}", path,
                       loaded.ladder->at(width).live_count(), collection.passages);
    return std::optional<LoadedLadder>();
  }
  loaded.cached_sequence = found.sequence;
  loaded.caught_up_rows = added + static_cast<std::int64_t>(changes->removed_row_ids.size());
  return std::optional<LoadedLadder>(std::move(loaded));
}

}  // namespace

Result<LoadedLadder> load_ladder(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view,
                                 const storage::Collection& collection, const LogCallback& log) {
  std::string note;
  NESTOR_ASSIGN_OR_RETURN(auto cached, from_file(store, view, collection, note));
  if (cached.has_value()) return std::move(*cached);
  if (!note.empty()) {
    log_to(log, LogLevel::kWarning, "index rebuilt from the store: " + note);
  }
  LoadedLadder loaded;
  loaded.note = std::move(note);
  loaded.ladder = std::make_unique<index::WidthLadder>(collection.width, !collection.external);
  const StoreSource source(store, view, collection);
  NESTOR_RETURN_IF_ERROR(loaded.ladder->build(loaded.ladder->default_width(), source));
  const std::int64_t live = loaded.ladder->at(loaded.ladder->default_width()).live_count();
  if (live != collection.passages) {
    return Status(
        StatusCode::kDataLoss,
        fmt::format(
            "collection '{}' of {} says {} passages, {} are there; `nestor verify {}` tells "
            "which are missing",
            collection.name, store.path(), collection.passages, live, store.path()));
  }
  loaded.caught_up_rows = collection.passages;
  return loaded;
}

bool worth_saving(const storage::Collection& collection, std::uint64_t cached_sequence,
                  std::int64_t caught_up_rows) {
  // Catching up reads 3 kB a row, loading a file 0.5 kB: below a twentieth of the rows the file
  // still pays. The journal keeps a bounded number of batches, so an old file is written again
  // whatever it holds.
  constexpr std::uint64_t kMostBatchesBehind = 256;
  constexpr std::int64_t kFewRows = 64;
  return caught_up_rows >= std::max(kFewRows, collection.passages / 20) ||
         (cached_sequence != 0 && collection.sequence - cached_sequence > kMostBatchesBehind);
}

Status save_ladder(const storage::DocumentStore& store, const storage::Collection& collection,
                   const index::WidthLadder& ladder) {
  const int width = ladder.default_width();
  return index::write_index_file(
      ladder_path(store, collection, width),
      {.identity = identity_of(collection, width), .payload = ladder.at(width).serialize()});
}

}  // namespace nestor::query
