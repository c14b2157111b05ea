#include "storage/backup.h"

#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/macros.h"
#include "storage/copy_staging.h"
#include "storage/document_store.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"
#include "storage/store_opening.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

// A table that has to be copied: held open, so that its writer may delete it meanwhile.
struct HeldFile {
  std::string name;
  RandomAccessFile file;
};

bool is_table(const std::string& name) { return name.ends_with(".sst"); }

// What a database consists of; RocksDB makes the rest by itself.
bool is_needed(const std::string& name) {
  return is_table(name) || name.ends_with(".log") || name.starts_with("MANIFEST-") ||
         name == "CURRENT" || name == "IDENTITY";
}

// One look at the files: logs and manifest are copied, tables linked or held.
Result<std::vector<HeldFile>> take_files(const std::string& from, const std::string& to,
                                         bool hard_links) {
  std::vector<HeldFile> held;
  for (const auto& [name, size] : file_set(from)) {
    if (!is_needed(name)) continue;
    const std::string source = from + "/" + name;
    const std::string target = to + "/" + name;
    if (is_table(name) && hard_links && ::link(source.c_str(), target.c_str()) == 0) continue;
    NESTOR_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::open(source));
    if (is_table(name)) {
      held.push_back({name, std::move(file)});
    } else {
      NESTOR_RETURN_IF_ERROR(copy_file(file, target));
    }
  }
  return held;
}

// The same, until no flush or compaction fell into it: then logs, manifest and tables belong
// together, and all that was synced before is in them.
Result<std::vector<HeldFile>> take_undisturbed(const std::string& from, const CopyStaging& staging,
                                               const BackupOptions& options) {
  constexpr int kTries = 50;
  const std::string to = staging.folder() + "/" + kRocksdbName;
  for (int attempt = 1;; ++attempt) {
    if (options.stop.stop_requested()) {
      return Status(StatusCode::kCancelled, "the backup was stopped");
    }
    NESTOR_RETURN_IF_ERROR(staging.restart());
    NESTOR_RETURN_IF_ERROR(make_folders(to));
    const auto before = file_set(from);
    Result<std::vector<HeldFile>> held = take_files(from, to, options.hard_links);
    if (file_set(from) == before) return held;
    if (attempt == kTries) {
      return Status(StatusCode::kIoError,
                    fmt::format("{} changed under each of {} tries to copy it; try again when its "
                                "writer is less busy",
                                from, kTries));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * attempt));
  }
}

Status copy_held(const std::vector<HeldFile>& held, const std::string& to,
                 const BackupOptions& options) {
  std::int64_t bytes = 0;
  for (const HeldFile& file : held) bytes += static_cast<std::int64_t>(file.file.bytes());
  NESTOR_RETURN_IF_ERROR(check_room_for(to, bytes));
  for (const HeldFile& file : held) {
    if (options.stop.stop_requested()) {
      return {StatusCode::kCancelled, "the backup was stopped"};
    }
    NESTOR_RETURN_IF_ERROR(copy_file(file.file, to + "/" + file.name));
  }
  return {};
}

// Tables that nothing refers to: of a compaction that was under way.
Status drop_strangers(const std::string& folder, rocksdb::DB& db) {
  std::vector<rocksdb::LiveFileMetaData> live;
  db.GetLiveFilesMetaData(&live);
  std::set<std::string> known;
  for (const rocksdb::LiveFileMetaData& file : live) {
    known.insert(fs::path(file.name).filename().string());
  }
  for (const auto& [name, size] : file_set(folder)) {
    std::error_code error;
    if (is_table(name) && !known.contains(name)) fs::remove(folder + "/" + name, error);
    if (error) {
      return {StatusCode::kIoError,
              fmt::format("cannot remove {}/{}: {}", folder, name, error.message())};
    }
  }
  return {};
}

// Manifest and watermark of the copy, from what RocksDB comes up with in it.
Result<std::uint64_t> finish_copy(const std::string& path, const std::string& folder,
                                  const Manifest& manifest, std::uint64_t acknowledged) {
  NESTOR_RETURN_IF_ERROR(write_manifest(folder, manifest));
  NESTOR_RETURN_IF_ERROR(create_watermark(folder, manifest.database_id));
  const std::string tables = folder + "/" + kRocksdbName;
  std::uint64_t sequence = 0;
  {
    NESTOR_ASSIGN_OR_RETURN(const CheckedStore checked, open_checked_read_only(folder, manifest));
    sequence = checked.state.sequence;
    NESTOR_RETURN_IF_ERROR(drop_strangers(tables, *checked.db));
  }
  if (sequence < acknowledged) {
    return Status(StatusCode::kDataLoss,
                  fmt::format("the copy of {} ends at batch {}, and {} was acknowledged before it "
                              "began; `nestor verify` tells what is damaged",
                              path, sequence, acknowledged));
  }
  NESTOR_ASSIGN_OR_RETURN(WatermarkWriter watermark,
                          WatermarkWriter::open(folder, manifest.database_id));
  NESTOR_RETURN_IF_ERROR(watermark.advance(sequence));
  NESTOR_RETURN_IF_ERROR(sync_folder(tables));
  return sequence;
}

Status verify_copy(const std::string& folder, const BackupOptions& options, BackupResult& result) {
  NESTOR_ASSIGN_OR_RETURN(const auto store, DocumentStore::open(folder, {.create_if_missing = false,
                                                                         .read_only = true}));
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport report, store->verify(options.stop));
  if (!report.problems.empty()) {
    return {StatusCode::kDataLoss,
            fmt::format("the copy is damaged in {} places and was removed; the first: {}",
                        report.problems.size(), report.problems.front())};
  }
  result.documents = report.documents;
  result.passages = report.passages;
  return {};
}

Status check_outside(const std::string& path, const std::string& to) {
  std::error_code error;
  const fs::path inside = fs::weakly_canonical(to, error);
  const fs::path relative = inside.lexically_relative(fs::weakly_canonical(path, error));
  if (error || relative.empty() || *relative.begin() == "..") return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("{} lies inside the database {}; name a place outside", to, path)};
}

Result<BackupResult> backup(const std::string& path, const std::string& to,
                            const BackupOptions& options) {
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, read_manifest(path));
  if (!manifest || !manifest->complete) {
    return Status(StatusCode::kNotFound, "there is no Nestor database at " + path);
  }
  NESTOR_RETURN_IF_ERROR(check_outside(path, to));
  // Before the files: what was acknowledged by then has to be in them.
  NESTOR_ASSIGN_OR_RETURN(const std::uint64_t acknowledged,
                          read_watermark(path, manifest->database_id));
  NESTOR_ASSIGN_OR_RETURN(CopyStaging staging, CopyStaging::begin(to));
  const std::string tables = staging.folder() + "/" + kRocksdbName;
  BackupResult result;
  {
    NESTOR_ASSIGN_OR_RETURN(const std::vector<HeldFile> held,
                            take_undisturbed(path + "/" + kRocksdbName, staging, options));
    for (const auto& [name, size] : file_set(tables)) {
      std::error_code ignored;
      if (is_table(name)) {
        result.linked_bytes +=
            static_cast<std::int64_t>(fs::file_size(tables + "/" + name, ignored));
      }
    }
    NESTOR_RETURN_IF_ERROR(copy_held(held, tables, options));
  }
  NESTOR_ASSIGN_OR_RETURN(result.sequence,
                          finish_copy(path, staging.folder(), *manifest, acknowledged));
  if (options.verify) {
    NESTOR_RETURN_IF_ERROR(verify_copy(staging.folder(), options, result));
  }
  for (const FolderEntry& file : list_files_below(staging.folder())) result.bytes += file.bytes;
  NESTOR_RETURN_IF_ERROR(staging.commit());
  return result;
}

}  // namespace

Result<BackupResult> backup_store(const std::string& path, const std::string& to,
                                  const BackupOptions& options) {
  return catching_exceptions([&] { return backup(path, to, options); });
}

}  // namespace nestor::storage
