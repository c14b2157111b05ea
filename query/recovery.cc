#include "query/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/macros.h"
#include "index/index_file.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

constexpr std::size_t kCatchUpBlockRows = 1024;

std::string index_path(const storage::DocumentStore& store, const storage::Collection& collection) {
  return fmt::format("{}/{}-{}.index", store.cache_folder(), collection.id,
                     collection.external ? "flat" : "codes");
}

index::IndexIdentity identity_of(const storage::Collection& collection) {
  return {.collection = collection.name,
          .collection_id = collection.id,
          .space = collection.external ? "external" : collection.space,
          .width = collection.width,
          .sequence = collection.sequence,
          .digest = collection.digest};
}

// Adds the rows that came after the file was written.
Status add_new_rows(const StoreSource& source, std::uint64_t first_row_id, int full_width,
                    CollectionIndex& index, std::int64_t& added) {
  std::vector<std::uint64_t> ids;
  std::vector<float> rows;  // (ids, full_width)
  Status status;
  const auto flush = [&] {
    status = index.add(ids, rows);
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

struct IndexOnDisk {
  index::IndexIdentity identity;
  std::unique_ptr<CollectionIndex> index;
};

Result<IndexOnDisk> read_file_of(const std::string& path, const storage::Collection& collection) {
  auto made = std::make_unique<CollectionIndex>(collection.width, !collection.external);
  if (!collection.external) {
    NESTOR_ASSIGN_OR_RETURN(index::LadderIndex::Opened opened, index::LadderIndex::open(path));
    if (opened.index.shape() != made->codes().shape()) {
      return Status(StatusCode::kDataLoss, path + " holds codes of another shape");
    }
    made->put_codes(std::move(opened.index));
    return IndexOnDisk{std::move(opened.identity), std::move(made)};
  }
  NESTOR_ASSIGN_OR_RETURN(index::IndexFile file, index::read_index_file(path));
  NESTOR_ASSIGN_OR_RETURN(index::CoarseIndex rows, index::CoarseIndex::parse(file.payload));
  if (rows.width() != collection.width) {
    return Status(StatusCode::kDataLoss, path + " holds another width than it says");
  }
  made->put_prefixes(std::move(rows));
  return IndexOnDisk{std::move(file.identity), std::move(made)};
}

// The index from its file, or nothing and `note` says why.
Result<std::optional<LoadedIndex>> from_file(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& collection,
                                             std::string& note) {
  const std::string path = index_path(store, collection);
  Result<IndexOnDisk> file = read_file_of(path, collection);
  if (!file.ok()) {
    if (file.status().code() != StatusCode::kNotFound) note = file.status().message();
    return std::optional<LoadedIndex>();
  }
  const index::IndexIdentity found = file.value().identity;
  index::IndexIdentity wanted = identity_of(collection);
  // A file of another moment is fine: the journal knows what came since.
  wanted.sequence = found.sequence;
  wanted.digest = found.digest;
  if (const std::string mismatch = index::describe_mismatch(found, wanted); !mismatch.empty()) {
    note = path + ": " + mismatch;
    return std::optional<LoadedIndex>();
  }
  NESTOR_ASSIGN_OR_RETURN(const auto changes,
                          store.changes_since(view, collection, found.sequence, found.digest));
  if (!changes.has_value()) {
    note = fmt::format("{} was made at sequence {}, from which this store cannot be caught up",
                       path, found.sequence);
    return std::optional<LoadedIndex>();
  }
  LoadedIndex loaded;
  loaded.index = std::move(file.value().index);
  loaded.index->remove(changes->removed_row_ids);
  const StoreSource source(store, view, collection);
  std::int64_t added = 0;
  NESTOR_RETURN_IF_ERROR(
      add_new_rows(source, changes->first_new_row_id, collection.width, *loaded.index, added));
  if (loaded.index->live_count() != collection.passages) {
    note = fmt::format("{} holds {} rows after catching up, the store {}", path,
                       loaded.index->live_count(), collection.passages);
    return std::optional<LoadedIndex>();
  }
  loaded.cached_sequence = found.sequence;
  loaded.caught_up_rows = added + static_cast<std::int64_t>(changes->removed_row_ids.size());
  return std::optional<LoadedIndex>(std::move(loaded));
}

// Files of this collection that an earlier way of indexing left.
void remove_others(const storage::DocumentStore& store, const storage::Collection& collection,
                   const std::string& kept) {
  const std::string prefix = fmt::format("{}-", collection.id);
  std::error_code error;
  std::filesystem::directory_iterator entry(store.cache_folder(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::filesystem::path& path = entry->path();
    std::error_code ignored;
    if (path.filename().string().starts_with(prefix) && path.extension() == ".index" &&
        path != kept) {
      std::filesystem::remove(path, ignored);
    }
  }
}

}  // namespace

Result<LoadedIndex> load_index(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, const LogCallback& log) {
  std::string note;
  NESTOR_ASSIGN_OR_RETURN(auto cached, from_file(store, view, collection, note));
  if (cached.has_value()) return std::move(*cached);
  if (!note.empty()) {
    log_to(log, LogLevel::kWarning, "index rebuilt from the store: " + note);
  }
  LoadedIndex loaded;
  loaded.note = std::move(note);
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(CollectionIndex built,
                          CollectionIndex::build(collection.width, !collection.external, source));
  loaded.index = std::make_unique<CollectionIndex>(std::move(built));
  const std::int64_t live = loaded.index->live_count();
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
  // Catching up reads 3 kB a row, loading a file 0.1 kB: below a twentieth of the rows the file
  // still pays. The journal keeps a bounded number of batches, so an old file is written again
  // whatever it holds.
  constexpr std::uint64_t kMostBatchesBehind = 256;
  constexpr std::int64_t kFewRows = 64;
  return caught_up_rows >= std::max(kFewRows, collection.passages / 20) ||
         (cached_sequence != 0 && collection.sequence - cached_sequence > kMostBatchesBehind);
}

Status save_index(const storage::DocumentStore& store, const storage::Collection& collection,
                  const CollectionIndex& index) {
  const std::string path = index_path(store, collection);
  remove_others(store, collection, path);
  if (index.has_codes()) return index.codes().save(path, identity_of(collection));
  return index::write_index_file(path, {.identity = identity_of(collection),
                                        .payload = index.at(index.default_width()).serialize()});
}

}  // namespace nestor::query
