#include "storage/store_opening.h"

#include <fmt/format.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/log.h"
#include "core/macros.h"
#include "nestor/version.h"
#include "storage/folder_kind.h"
#include "storage/folder_lock.h"
#include "storage/format_upgrade.h"
#include "storage/free_space.h"
#include "storage/journal.h"
#include "storage/key_schema.h"
#include "storage/manifest.h"
#include "storage/record_source.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"
#include "storage/rocksdb_store.h"
#include "storage/store_repair.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

FreeBytesFunction free_bytes_function(const StoreOptions& options) {
  return options.free_bytes ? options.free_bytes : free_bytes_of_file_system;
}

std::string rocksdb_folder(const std::string& path) { return path + "/" + kRocksdbName; }

Status no_database(const std::string& path) {
  return {StatusCode::kNotFound, "there is no Nestor database at " + path};
}

// The folder has no finished manifest: may it be made a database?
Status check_room(const std::string& path) {
  if (folder_kind(path) == FolderKind::kRemains) return remains_status(path);
  std::vector<std::string> foreign;
  NESTOR_ASSIGN_OR_RETURN(const auto entries, list_folder(path));
  for (const FolderEntry& entry : entries) {
    if (!is_leftover_of_creation(path, entry.name)) foreign.push_back(entry.name);
  }
  if (foreign.empty()) return {};
  std::sort(foreign.begin(), foreign.end());
  return {StatusCode::kInvalidArgument,
          fmt::format("{} is no Nestor database and not empty (it holds \"{}\"{}); name a new or "
                      "an empty folder",
                      path, foreign.front(),
                      foreign.size() > 1 ? fmt::format(" and {} more", foreign.size() - 1) : "")};
}

// Also syncs every folder that got a new entry: without it a power cut may take the database's
// name.
Status make_folder_synced(const std::string& path) {
  std::vector<fs::path> missing;
  std::error_code
      error;  // what cannot be looked at cannot be made either, and make_folders says why
  for (fs::path folder = fs::absolute(path).lexically_normal();
       folder.has_relative_path() && !fs::exists(folder, error); folder = folder.parent_path()) {
    missing.push_back(folder);
  }
  NESTOR_RETURN_IF_ERROR(make_folders(path));
  for (const fs::path& folder : missing) {
    if (folder.has_parent_path()) {
      NESTOR_RETURN_IF_ERROR(sync_folder(folder.parent_path().string()));
    }
  }
  return {};
}

Status write_first_batch(const std::string& path, const Manifest& manifest) {
  NESTOR_ASSIGN_OR_RETURN(const RocksdbPointer db,
                          open_rocksdb(rocksdb_folder(path), OpenMode::kCreate));
  const std::string state_key = meta_key(kStateName);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> written,
                          RecordSource(*db, nullptr).get(state_key));
  if (written) return {};
  const std::string format_key = meta_key(kFormatName);
  rocksdb::WriteBatch batch;
  batch.Put(format_key, encode_format(format_key, {.format_version = manifest.format_version,
                                                   .database_id = manifest.database_id,
                                                   .writer = manifest.writer,
                                                   .created_seconds = manifest.created_seconds}));
  batch.Put(state_key, encode_state(state_key, {}));
  rocksdb::WriteOptions options;
  options.sync = true;
  NESTOR_RETURN_IF_ERROR(freezing_on_exception(db, [&] {
    return status_from_rocksdb(db->Write(options, &batch), "write the first batch to " + path);
  }));
  return write_failure_of(db);
}

// Every step may be the last one of a process that dies; the next opener begins again, until the
// manifest says complete, before which nothing was acknowledged.
Result<Manifest> make_database(const std::string& path, const std::optional<Manifest>& begun) {
  Manifest manifest = begun ? *begun : new_manifest();
  if (!begun) NESTOR_RETURN_IF_ERROR(write_manifest(path, manifest));
  NESTOR_RETURN_IF_ERROR(write_first_batch(path, manifest));
  NESTOR_RETURN_IF_ERROR(create_watermark(path, manifest.database_id));
  manifest.complete = true;
  NESTOR_RETURN_IF_ERROR(write_manifest(path, manifest));
  return manifest;
}

Status check_format(const std::string& path, const Manifest& manifest, const StoreFormat& format) {
  if (format.format_version > kFormatVersion) {
    return {StatusCode::kUnsupported,
            fmt::format("RocksDB in {} holds format {}, this program ({}) reads formats up to {}; "
                        "use a newer Nestor",
                        path, format.format_version, kVersion, kFormatVersion)};
  }
  if (format.database_id != manifest.database_id) {
    return {StatusCode::kDataLoss,
            fmt::format("{} is of database {:016x}, RocksDB beside it of {:016x}: files of two "
                        "databases are mixed; restore the whole folder from a backup",
                        path + "/" + kManifestName, manifest.database_id, format.database_id)};
  }
  return {};
}

// What RocksDB came up with, checked against what was promised.
Result<StoreState> check_store(const std::string& path, rocksdb::DB& db, const Manifest& manifest,
                               std::uint64_t watermark) {
  const RecordSource source(db, nullptr);
  NESTOR_ASSIGN_OR_RETURN(const StoreFormat format, source.format());
  NESTOR_RETURN_IF_ERROR(check_format(path, manifest, format));
  NESTOR_ASSIGN_OR_RETURN(const StoreState state, source.state());
  const auto lost = [&](const std::string& what) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("acknowledged data is gone from {}: {}; nothing was changed, restore "
                              "the folder from a backup, or index again into a new one",
                              path, what));
  };
  if (state.sequence < watermark) {
    return lost(fmt::format("{} says batch {} was acknowledged, RocksDB holds up to {}",
                            kWatermarkName, watermark, state.sequence));
  }
  NESTOR_ASSIGN_OR_RETURN(const std::vector<CollectionRecord> records, source.collections());
  std::uint64_t highest = 0;
  for (const CollectionRecord& record : records) {
    NESTOR_RETURN_IF_ERROR(check_journal(source, record));
    highest = std::max(highest, record.collection.sequence);
  }
  if (highest != state.sequence) {
    return lost(fmt::format("the store is at batch {}, its collections end at {}", state.sequence,
                            highest));
  }
  return state;
}

Result<std::unique_ptr<DocumentStore>> open_for_writing(const std::string& path,
                                                        const Manifest& manifest, FolderLock lock,
                                                        FreeBytesFunction free_bytes,
                                                        const StoreOptions& asked) {
  NESTOR_RETURN_IF_ERROR(check_free_space(free_bytes, path, log_bytes(rocksdb_folder(path)),
                                          "make room, or open the database read-only"));
  // Looked at read-only first: opening for writing makes tables of what the log replay found and
  // deletes the log, and with it what could still be saved of a damaged one.
  NESTOR_ASSIGN_OR_RETURN(CheckedStore checked,
                          open_checked_read_only(path, manifest, asked.memory_bytes));
  checked.db.reset();
  NESTOR_ASSIGN_OR_RETURN(RocksdbPointer db,
                          open_rocksdb(rocksdb_folder(path), OpenMode::kWrite, asked.memory_bytes));
  NESTOR_ASSIGN_OR_RETURN(const StoreState state, RecordSource(*db, nullptr).state());
  if (state.sequence != checked.state.sequence) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("{} held batch {} a moment ago and {} now: another program writes in "
                              "it",
                              path, checked.state.sequence, state.sequence));
  }
  NESTOR_RETURN_IF_ERROR(upgrade_format(path, *db, manifest, free_bytes, asked.log));
  NESTOR_RETURN_IF_ERROR(write_failure_of(db));
  NESTOR_ASSIGN_OR_RETURN(WatermarkWriter watermark,
                          WatermarkWriter::open(path, manifest.database_id));
  // A batch whose writer died between log and mark: from now on it is served, so it counts.
  if (state.sequence > checked.watermark) {
    NESTOR_RETURN_IF_ERROR(watermark.advance(state.sequence));
  }
  auto store = std::make_unique<RocksdbStore>(
      path, std::move(db), state, manifest.database_id,
      RocksdbStore::Writer{std::move(lock), std::move(watermark), std::move(free_bytes)},
      asked.memory_bytes);
  NESTOR_RETURN_IF_ERROR(make_folders(store->cache_folder()));
  return std::unique_ptr<DocumentStore>(std::move(store));
}

Result<std::unique_ptr<DocumentStore>> open_for_reading(const std::string& path,
                                                        std::int64_t memory_bytes) {
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, read_manifest(path));
  if (!manifest || !manifest->complete) {
    if (Status status = check_room(path); status.code() == StatusCode::kDataLoss) return status;
    return no_database(path);
  }
  NESTOR_ASSIGN_OR_RETURN(CheckedStore checked,
                          open_checked_read_only(path, *manifest, memory_bytes));
  return std::unique_ptr<DocumentStore>(std::make_unique<RocksdbStore>(
      path, std::move(checked.db), checked.state, manifest->database_id,
      std::optional<RocksdbStore::Writer>(), memory_bytes));
}

}  // namespace

Result<CheckedStore> open_checked_read_only(const std::string& path, const Manifest& manifest,
                                            std::int64_t memory_bytes) {
  CheckedStore checked;
  // Before RocksDB: beside a live writer the mark only grows, and must not be newer than what is
  // read.
  NESTOR_ASSIGN_OR_RETURN(checked.watermark, read_watermark(path, manifest.database_id));
  NESTOR_ASSIGN_OR_RETURN(checked.db,
                          open_rocksdb(rocksdb_folder(path), OpenMode::kReadOnly, memory_bytes));
  NESTOR_ASSIGN_OR_RETURN(checked.state,
                          check_store(path, *checked.db, manifest, checked.watermark));
  return checked;
}

Result<std::unique_ptr<DocumentStore>> open_store(const std::string& path,
                                                  const StoreOptions& options) {
  if (path.empty()) return Status(StatusCode::kInvalidArgument, "a database needs a path");
  std::error_code error;
  const bool there = fs::exists(path, error);
  if (error) {
    return Status(StatusCode::kIoError,
                  fmt::format("cannot look at {}: {}", path, error.message()));
  }
  if (there && !is_folder(path)) {
    return Status(StatusCode::kInvalidArgument, path + " is a file; a database is a folder");
  }
  if (there && is_repair_unfinished(path)) {
    return Status(
        StatusCode::kDataLoss,
        fmt::format("a repair of {} died while it exchanged its files; `nestor repair {}` "
                    "does the rest",
                    path, path));
  }
  if (!there && (options.read_only || !options.create_if_missing)) return no_database(path);
  if (options.memory_bytes != 0 && options.memory_bytes < kLeastStoreBytes) {
    return Status(StatusCode::kOutOfMemory,
                  fmt::format("{} bytes of memory for the store of {}; at least {} are needed",
                              options.memory_bytes, path, kLeastStoreBytes));
  }
  if (options.read_only) return open_for_reading(path, options.memory_bytes);

  const FreeBytesFunction free_bytes = free_bytes_function(options);
  NESTOR_RETURN_IF_ERROR(make_folder_synced(path));
  // Before the lock, which makes a file: a folder that is not ours is left as it is.
  NESTOR_ASSIGN_OR_RETURN(std::optional<Manifest> manifest, read_manifest(path));
  if (!manifest) {
    const Status room = check_room(path);
    if (room.code() == StatusCode::kDataLoss) return room;
    if (!options.create_if_missing) return no_database(path);
    NESTOR_RETURN_IF_ERROR(room);
  }
  NESTOR_ASSIGN_OR_RETURN(FolderLock lock, FolderLock::take(path));
  NESTOR_ASSIGN_OR_RETURN(manifest, read_manifest(path));
  if (!manifest || !manifest->complete) {
    if (!options.create_if_missing) return no_database(path);
    NESTOR_RETURN_IF_ERROR(
        check_free_space(free_bytes, path, 0, "make room, or choose another folder"));
    NESTOR_ASSIGN_OR_RETURN(manifest, make_database(path, manifest));
    log_to(options.log, LogLevel::kInfo, "made a new database at " + path);
  }
  return open_for_writing(path, *manifest, std::move(lock), free_bytes, options);
}

}  // namespace nestor::storage
