#include "query/recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/log.h"
#include "core/macros.h"
#include "index/index_file.h"
#include "query/cache_identity.h"
#include "query/store_source.h"

namespace nestor::query {
namespace {

constexpr std::size_t kCatchUpBlockRows = 1024;
// Of a cached row, held in memory where the row itself is mapped.
constexpr std::int64_t kNumberBytes = 20;

std::string index_path(const storage::DocumentStore& store, const storage::Collection& collection) {
  return fmt::format("{}/{}-{}.index", store.cache_folder(), collection.id,
                     collection.external ? "flat" : "codes");
}

std::string plan_path(const storage::DocumentStore& store, const storage::Collection& collection) {
  return fmt::format("{}/{}-plan.index", store.cache_folder(), collection.id);
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
  CollectionIndex index;
};

Result<IndexOnDisk> read_file_of(const std::string& path, const storage::Collection& collection,
                                 ThreadPool* pool = nullptr) {
  CollectionIndex made(collection.width, !collection.external, collection.metric);
  if (!collection.external) {
    NESTOR_ASSIGN_OR_RETURN(index::LadderIndex::Opened opened,
                            index::LadderIndex::open(path, pool));
    if (opened.index.shape() != made.codes().shape()) {
      return Status(StatusCode::kDataLoss, path + " holds codes of another shape");
    }
    made.put_codes(std::move(opened.index));
    return IndexOnDisk{std::move(opened.identity), std::move(made)};
  }
  NESTOR_ASSIGN_OR_RETURN(index::IndexFile file, index::read_index_file(path));
  NESTOR_ASSIGN_OR_RETURN(index::CoarseIndex rows,
                          index::CoarseIndex::parse(file.payload, collection.metric));
  if (rows.width() != collection.width) {
    return Status(StatusCode::kDataLoss, path + " holds another width than it says");
  }
  made.put_prefixes(std::move(rows));
  return IndexOnDisk{std::move(file.identity), std::move(made)};
}

IndexSize size_of(const storage::Collection& collection, const MemoryBudget& budget) {
  return {.row_count = collection.passages, .train_rows = budget.train_rows(collection.width)};
}

// Brought vectors are in memory twice while their file is read; from the store they are not.
bool file_fits(const std::string& path, const storage::Collection& collection,
               const IndexRoom& room) {
  if (!collection.external || !room.budget.limited()) return true;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error || room.others + 2 * static_cast<std::int64_t>(bytes) <= room.budget.index;
}

// The index from its file, or nothing and `note` says why.
Result<std::optional<LoadedIndex>> from_file(const storage::DocumentStore& store,
                                             const storage::DocumentStore::View& view,
                                             const storage::Collection& collection,
                                             const IndexRoom& room, std::string& note) {
  const std::string path = index_path(store, collection);
  if (!file_fits(path, collection, room)) return std::optional<LoadedIndex>();
  Result<IndexOnDisk> file = read_file_of(path, collection, room.pool);
  if (!file.ok()) {
    if (file.status().code() != StatusCode::kNotFound) note = file.status().message();
    return std::optional<LoadedIndex>();
  }
  const index::IndexIdentity found = file.value().identity;
  // A file of another moment is fine: the journal knows what came since.
  if (const std::string mismatch = describe_cache_mismatch(found, collection); !mismatch.empty()) {
    note = path + ": " + mismatch;
    return std::optional<LoadedIndex>();
  }
  LoadedIndex loaded{.index = std::move(file.value().index), .cached_sequence = found.sequence};
  if (room.budget.limited()) loaded.index.limit_memory(room.budget.index - room.others);
  storage::Collection then = collection;
  then.sequence = found.sequence;
  then.digest = found.digest;
  NESTOR_ASSIGN_OR_RETURN(const bool applied,
                          apply_journal(store, view, then, collection, loaded, room));
  if (!applied) {
    note = fmt::format("{} was made at sequence {}, from which this store cannot be caught up",
                       path, found.sequence);
    return std::optional<LoadedIndex>();
  }
  return std::optional<LoadedIndex>(std::move(loaded));
}

// Index files of this collection that an earlier way of indexing left.
void remove_others(const storage::DocumentStore& store, const storage::Collection& collection) {
  const std::string prefix = fmt::format("{}-", collection.id);
  const auto kept = {index_path(store, collection), plan_path(store, collection),
                     row_list_path(store, collection)};
  const auto entries = list_folder(store.cache_folder());
  if (!entries.ok()) return;
  for (const FolderEntry& entry : entries.value()) {
    const std::string path = store.cache_folder() + "/" + entry.name;
    if (!entry.name.starts_with(prefix) || !entry.name.ends_with(".index")) continue;
    if (std::find(kept.begin(), kept.end(), path) != kept.end()) continue;
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
}

// The calibration as its file has it, or none. It is advice: a moment ago is as good as now.
index::Calibration read_calibration(const storage::DocumentStore& store,
                                    const storage::Collection& collection) {
  const auto file = index::read_index_file(plan_path(store, collection));
  if (!file.ok() || !describe_cache_mismatch(file.value().identity, collection).empty()) return {};
  const auto parsed = index::Calibration::parse(file.value().payload);
  return parsed.ok() ? parsed.value() : index::Calibration();
}

Result<LoadedIndex> load_or_build(const storage::DocumentStore& store,
                                  const storage::DocumentStore::View& view,
                                  const storage::Collection& collection, const LogCallback& log,
                                  const IndexRoom& room) {
  std::string note;
  NESTOR_ASSIGN_OR_RETURN(auto cached, from_file(store, view, collection, room, note));
  if (cached.has_value()) return std::move(*cached);
  if (!note.empty()) {
    log_to(log, LogLevel::kWarning, "index rebuilt from the store: " + note);
  }
  NESTOR_RETURN_IF_ERROR(
      room.check(collection.name, "build the index", [&](const MemoryBudget& budget) {
        return CollectionIndex::build_bytes(collection.width, !collection.external,
                                            size_of(collection, budget));
      }));
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(
      CollectionIndex built,
      CollectionIndex::build(collection.width, !collection.external, source, collection.metric,
                             size_of(collection, room.budget)));
  LoadedIndex loaded{.index = std::move(built), .note = std::move(note)};
  if (room.budget.limited()) loaded.index.limit_memory(room.budget.index - room.others);
  const std::int64_t live = loaded.index.live_count();
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

// Whether catching up costs enough by now that a file should be written again.
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

// New codes lie beside the old ones until they take their place.
Status train_anew(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                  const storage::Collection& collection, LoadedIndex& loaded,
                  const IndexRoom& room) {
  const auto both = [&](const MemoryBudget& budget) {
    return loaded.index.owned_bytes() +
           CollectionIndex::build_bytes(collection.width, true, size_of(collection, budget));
  };
  if (!room.fits(
          collection.name, "train the codes anew",
          "the codes stay those of a smaller collection: searches look further to find as much",
          both)) {
    return {};
  }
  const StoreSource source(store, view, collection);
  NESTOR_ASSIGN_OR_RETURN(index::LadderIndex codes,
                          index::LadderIndex::build(loaded.index.codes().shape(), source,
                                                    room.budget.train_rows(collection.width)));
  loaded.index.put_codes(std::move(codes));
  loaded.caught_up_rows = collection.passages;  // the file is of the old codes
  return {};
}

Status save_row_cache(const storage::DocumentStore& store, const storage::Collection& collection,
                      CollectionIndex& index, const MemoryBudget& budget) {
  CachedRows* const cached = index.rows();
  if (cached == nullptr) {
    if (index.has_codes() && index.codes().trained()) remove_rows(store, collection);
    return {};
  }
  if (!worth_saving(collection, cached->cached_sequence, cached->rows.tail_count())) return {};
  const index::LadderIndex& codes = index.codes();
  return save_rows(
      store, collection, [&](std::uint64_t id) { return codes.contains(id); }, *cached,
      budget.tail_rows(collection.width, collection.passages));
}

}  // namespace

Result<LoadedIndex> LoadedIndex::version() const {
  NESTOR_ASSIGN_OR_RETURN(CollectionIndex same, index.version());
  return LoadedIndex{.index = std::move(same),
                     .cached_sequence = cached_sequence,
                     .caught_up_rows = caught_up_rows,
                     .calibrated_anew = calibrated_anew,
                     .note = note};
}

Result<bool> apply_journal(const storage::DocumentStore& store,
                           const storage::DocumentStore::View& view,
                           const storage::Collection& before, const storage::Collection& after,
                           LoadedIndex& loaded, const IndexRoom& room) {
  if (before.id != after.id || before.width != after.width || before.space != after.space ||
      before.external != after.external) {
    return false;
  }
  NESTOR_ASSIGN_OR_RETURN(const auto changes,
                          store.changes_since(view, after, before.sequence, before.digest));
  if (!changes.has_value()) return false;
  CollectionIndex& index = loaded.index;
  index.remove(changes->removed_row_ids);
  const std::int64_t lacks = std::max<std::int64_t>(after.passages - index.live_count(), 0);
  NESTOR_RETURN_IF_ERROR(room.check(after.name, "bring the index up to date with the store",
                                    [&](const MemoryBudget&) { return index.bytes_with(lacks); }));
  const StoreSource source(store, view, after);
  std::int64_t added = 0;
  NESTOR_RETURN_IF_ERROR(
      add_new_rows(source, changes->first_new_row_id, after.width, index, added));
  // Rows that came and went in between are not among them, so a version that saw them come has
  // other rows at these positions.
  if (added > 0) index.begin_generation();
  loaded.caught_up_rows += added + std::ssize(changes->removed_row_ids);
  return index.live_count() == after.passages;
}

Result<LoadedIndex> load_index(const storage::DocumentStore& store,
                               const storage::DocumentStore::View& view,
                               const storage::Collection& collection, const LogCallback& log,
                               const IndexRoom& room) {
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded, load_or_build(store, view, collection, log, room));
  if (!loaded.index.has_codes() || !loaded.index.codes().trained()) return loaded;
  loaded.index.put_calibration(read_calibration(store, collection));
  const std::int64_t tail_rows = room.budget.tail_rows(collection.width, collection.passages);
  NESTOR_ASSIGN_OR_RETURN(auto rows, load_rows(store, view, collection, log, tail_rows));
  if (rows.has_value()) loaded.index.put_rows(std::move(*rows));
  if (!store.read_only()) {
    NESTOR_RETURN_IF_ERROR(renew_index(store, view, collection, loaded, room));
  }
  return loaded;
}

Result<LoadedIndex> load_for_reader(const storage::DocumentStore& store,
                                    const storage::DocumentStore::View& view,
                                    const storage::Collection& collection, const LogCallback& log,
                                    const IndexRoom& room) {
  NESTOR_ASSIGN_OR_RETURN(LoadedIndex loaded, load_index(store, view, collection, log, room));
  if (loaded.index.wants_training()) {
    NESTOR_RETURN_IF_ERROR(train_anew(store, view, collection, loaded, room));
  }
  return loaded;
}

bool wants_renewal(const LoadedIndex& loaded, const storage::Collection& collection,
                   const IndexRoom& room) {
  const CollectionIndex& index = loaded.index;
  const std::int64_t tail_rows = room.budget.tail_rows(collection.width, collection.passages);
  return index.wants_training() || index.wants_rows() || index.wants_calibration() ||
         (index.rows() != nullptr && index.rows()->rows.tail_count() >= tail_rows);
}

Status renew_index(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                   const storage::Collection& collection, LoadedIndex& loaded,
                   const IndexRoom& room) {
  CollectionIndex& index = loaded.index;
  const std::int64_t tail_rows = room.budget.tail_rows(collection.width, collection.passages);
  if (index.wants_training()) {
    NESTOR_RETURN_IF_ERROR(train_anew(store, view, collection, loaded, room));
  }
  if (index.wants_rows()) {
    NESTOR_ASSIGN_OR_RETURN(auto rows, load_rows(store, view, collection, {}, tail_rows));
    if (rows.has_value()) index.put_rows(std::move(*rows));
  }
  if (index.rows() != nullptr && index.rows()->rows.tail_count() >= tail_rows) {
    CachedRows& cached = *index.rows();
    NESTOR_ASSIGN_OR_RETURN(const std::string tail, write_rows(store, collection, cached.rows));
    NESTOR_RETURN_IF_ERROR(
        cached.rows.map_tail(tail, cache_identity(collection), cached.rows.tail_count()));
    cached.cached_sequence = collection.sequence;
  }
  if (index.wants_calibration()) {
    const StoreSource source(store, view, collection);
    NESTOR_ASSIGN_OR_RETURN(index::Calibration measured,
                            index::Calibration::measure(index.codes(), source));
    index.put_calibration(std::move(measured));
    loaded.calibrated_anew = true;
  }
  return {};
}

Status save_index(const storage::DocumentStore& store, const storage::Collection& collection,
                  LoadedIndex& loaded, const IndexRoom& room) {
  CollectionIndex& index = loaded.index;
  if (loaded.calibrated_anew) {
    NESTOR_RETURN_IF_ERROR(
        index::write_index_file(plan_path(store, collection),
                                {cache_identity(collection), index.calibration().serialize()}));
  }
  NESTOR_RETURN_IF_ERROR(save_row_cache(store, collection, index, room.budget));
  if (!worth_saving(collection, loaded.cached_sequence, loaded.caught_up_rows)) return {};
  // Written from one copy of all rows, which grows by doubling.
  const auto copied = [&](const MemoryBudget&) {
    return index.owned_bytes() +
           3 * index::CoarseIndex::bytes_of(collection.width, index.live_count());
  };
  if (!index.has_codes() && !room.fits(collection.name, "write the index's file",
                                       "the index is made from the store at each open", copied)) {
    return {};
  }
  remove_others(store, collection);
  const std::string path = index_path(store, collection);
  if (index.has_codes()) return index.codes().save(path, cache_identity(collection));
  return index::write_index_file(path, {.identity = cache_identity(collection),
                                        .payload = index.at(index.default_width()).serialize()});
}

std::int64_t bytes_to_load(const storage::DocumentStore& store,
                           const storage::Collection& collection, std::int64_t passages,
                           const MemoryBudget& budget) {
  const std::int64_t anew = CollectionIndex::build_bytes(
      collection.width, !collection.external,
      {.row_count = passages, .train_rows = budget.train_rows(collection.width)});
  if (collection.external) return anew;
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(index_path(store, collection), error);
  const index::LadderShape shape = index::default_ladder_shape(collection.width, true);
  const std::int64_t mapped =
      error ? 0
            : std::min(static_cast<std::int64_t>(bytes) / shape.layout().row_bytes(),
                       collection.passages);
  // Below that the file holds rows, not codes, and they are no longer mapped once it is read.
  if (mapped < index::LadderIndex::kTrainRows) return anew;
  const std::int64_t grown = CollectionIndex::build_bytes(
      collection.width, true,
      {.row_count = passages - mapped, .train_rows = budget.train_rows(collection.width)});
  return std::min(anew, grown + kNumberBytes * mapped);
}

Result<std::int64_t> removed_rows_in_index_file(const storage::DocumentStore& store,
                                                const storage::DocumentStore::View& view,
                                                const storage::Collection& collection) {
  const std::string path = index_path(store, collection);
  if (!is_regular_file(path)) return 0;
  Result<IndexOnDisk> file = read_file_of(path, collection);
  if (!file.ok()) return 1;
  const index::IndexIdentity& found = file.value().identity;
  NESTOR_ASSIGN_OR_RETURN(const auto changes,
                          store.changes_since(view, collection, found.sequence, found.digest));
  if (!changes.has_value()) return 1;
  CollectionIndex index = std::move(file.value().index);
  const std::int64_t before = index.live_count();
  index.remove(changes->removed_row_ids);
  return before - index.live_count();
}

}  // namespace nestor::query
