#include "storage/store_repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/folder.h"
#include "core/log.h"
#include "core/macros.h"
#include "storage/document_store.h"
#include "storage/folder_kind.h"
#include "storage/folder_lock.h"
#include "storage/free_space.h"
#include "storage/journal.h"
#include "storage/lost_folder.h"
#include "storage/manifest.h"
#include "storage/repair_survey.h"
#include "storage/repair_verdict.h"
#include "storage/repair_writer.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"
#include "storage/salvage_source.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Status rename_entry(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (!error) return {};
  return {StatusCode::kIoError,
          fmt::format("cannot rename {} to {}: {}", from, to, error.message())};
}

// From the mark on every step may be the last one of a process that dies: the next repair does the
// rest. Between two renames RocksDB's folder is missing, and the mark says why.
Status exchange_rocksdb(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(const std::string lost, read_file(path + "/" + kRepairMarkName, 4096));
  const std::string made = path + "/" + kRepairFolderName + "/" + kRocksdbName;
  const std::string current = path + "/" + kRocksdbName;
  const std::string old = path + "/" + fs::path(lost).filename().string() + "/" + kRocksdbName;
  if (exists(made)) {
    if (exists(current) && !exists(old)) NESTOR_RETURN_IF_ERROR(rename_entry(current, old));
    NESTOR_RETURN_IF_ERROR(sync_folder(path));
    NESTOR_RETURN_IF_ERROR(rename_entry(made, current));
  }
  for (const char* name : {kManifestName, kWatermarkName}) {
    const std::string ready = path + "/" + kRepairFolderName + "/" + name;
    if (exists(ready)) NESTOR_RETURN_IF_ERROR(rename_entry(ready, path + "/" + name));
  }
  NESTOR_RETURN_IF_ERROR(sync_folder(path));
  std::error_code error;
  fs::remove_all(path + "/cache", error);  // of the old store's history
  fs::remove(path + "/" + kRepairMarkName, error);
  if (error) return {StatusCode::kIoError, "cannot remove the mark of the repair: " + path};
  fs::remove_all(path + "/" + kRepairFolderName, error);
  return sync_folder(path);
}

class StoreRepair {
 public:
  StoreRepair(const std::string& path, const StoreRepairOptions& options)
      : path_(path),
        options_(options),
        free_bytes_(options.free_bytes ? options.free_bytes : free_bytes_of_file_system),
        scratch_(path + "/" + kRepairFolderName),
        lost_(path) {}

  Result<RepairReport> run();

 private:
  Status read_manifest_file();
  // Opens RocksDB strictly; findings_.sound says whether it can be trusted as it is.
  Status look();
  void read_mark(const Survey* survey);
  Result<std::set<std::uint32_t>> broken_journals();
  Status mend_in_place();
  Status mend_by_copy();
  RepairWriter::Plan plan(bool fresh) const;
  Status write_guards(const std::string& folder, std::uint64_t sequence);
  Status put_guards_aside();

  const std::string path_;
  const StoreRepairOptions& options_;
  const FreeBytesFunction free_bytes_;
  const std::string scratch_;
  LostFolder lost_;
  std::optional<Manifest> manifest_;  // as it is in the folder, or as it is to be
  RocksdbPointer strict_;
  std::optional<SalvageSource> salvage_;
  RecordScan scan_;
  RepairFindings findings_;
  Survey survey_;
  RepairVerdict verdict_;
};

Status StoreRepair::read_manifest_file() {
  const Result<std::optional<Manifest>> manifest = read_manifest(path_);
  if (manifest.ok()) {
    manifest_ = manifest.value();
  } else if (manifest.status().code() != StatusCode::kDataLoss) {
    return manifest.status();
  }
  findings_.manifest_bad = !manifest_;
  if (manifest_ && !manifest_->complete) {
    return {StatusCode::kFailedPrecondition,
            path_ +
                " was never finished, nothing was ever added to it; opening it for writing "
                "makes it anew"};
  }
  return {};
}

Status StoreRepair::look() {
  const std::string folder = path_ + "/" + kRocksdbName;
  if (!is_folder(folder)) {
    return {StatusCode::kDataLoss,
            fmt::format("{} is missing: there is nothing left to repair from; restore {} from a "
                        "backup",
                        folder, path_)};
  }
  Result<RocksdbPointer> opened = open_rocksdb(folder, OpenMode::kReadOnly);
  if (!opened.ok() && opened.status().code() != StatusCode::kDataLoss &&
      opened.status().code() != StatusCode::kIoError) {
    return opened.status();
  }
  if (opened.ok()) {
    const RecordSource source(*opened.value(), nullptr);
    Status whole = source.check_tables();
    if (whole.ok()) {
      whole = source.scan("", "", [](std::string_view, std::string_view) { return true; });
    }
    const Result<StoreState> state = source.state();
    const Result<StoreFormat> format = source.format();
    const std::optional<std::uint64_t> id = manifest_ ? std::optional(manifest_->database_id)
                                            : format.ok()
                                                ? std::optional(format.value().database_id)
                                                : std::nullopt;
    const Result<std::uint64_t> mark =
        id ? read_watermark(path_, *id) : Status(StatusCode::kDataLoss, "of no known database");
    findings_.sound =
        whole.ok() && mark.ok() && state.ok() && state.value().sequence >= mark.value();
    if (!whole.ok()) findings_.gaps.push_back(whole.message());
  } else {
    findings_.gaps.push_back(opened.status().message());
  }
  if (findings_.sound) {
    strict_ = std::move(opened).value();
    scan_ = [this](const RecordSource::Visitor& visit) {
      return RecordSource(*strict_, nullptr).scan("", "", visit);
    };
    return {};
  }
  opened = Status(StatusCode::kDataLoss, "closed");
  NESTOR_RETURN_IF_ERROR(check_free_space(free_bytes_, path_, log_bytes(folder),
                                          "make room; a repair writes a new RocksDB"));
  NESTOR_ASSIGN_OR_RETURN(salvage_, SalvageSource::open(folder, scratch_ + "/links"));
  scan_ = [this](const RecordSource::Visitor& visit) { return salvage_->scan(visit); };
  return {};
}

void StoreRepair::read_mark(const Survey* survey) {
  if (!manifest_) {
    manifest_ = new_manifest();
    manifest_->complete = true;
    if (survey->format) {
      manifest_->format_version = survey->format->format_version;
      manifest_->database_id = survey->format->database_id;
      manifest_->writer = survey->format->writer;
      manifest_->created_seconds = survey->format->created_seconds;
    }
  }
  findings_.manifest_disagrees =
      survey->format && survey->format->database_id != manifest_->database_id;
  const Result<std::uint64_t> mark = read_watermark(path_, manifest_->database_id);
  if (mark.ok()) findings_.watermark = mark.value();
}

Result<std::set<std::uint32_t>> StoreRepair::broken_journals() {
  std::set<std::uint32_t> broken;
  for (const auto& [id, collection] : survey_.collections) {
    if (!collection.record || strict_ == nullptr) continue;
    const Status status = check_journal(RecordSource(*strict_, nullptr), *collection.record);
    if (status.code() == StatusCode::kDataLoss) {
      broken.insert(id);
    } else if (!status.ok()) {
      return status;
    }
  }
  return broken;
}

Result<RepairReport> StoreRepair::run() {
  NESTOR_RETURN_IF_ERROR(read_manifest_file());
  NESTOR_RETURN_IF_ERROR(look());
  NESTOR_ASSIGN_OR_RETURN(survey_, survey_records(scan_, options_.repair.stop));
  if (survey_.format && survey_.format->format_version > kFormatVersion) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{} holds format {}, this program repairs formats up to {}", path_,
                              survey_.format->format_version, kFormatVersion));
  }
  if (salvage_) {
    findings_.gaps.insert(findings_.gaps.end(), salvage_->gaps().begin(), salvage_->gaps().end());
    if (survey_.collections.empty() && !survey_.format && !survey_.state) {
      return Status(StatusCode::kDataLoss,
                    fmt::format("nothing can be read of {}/{}; restore it from a backup", path_,
                                kRocksdbName));
    }
  }
  read_mark(&survey_);
  NESTOR_ASSIGN_OR_RETURN(const std::set<std::uint32_t> broken, broken_journals());
  verdict_ = judge(survey_, findings_, broken);
  RepairReport& report = verdict_.report;
  if (!report.lost.empty() && !options_.repair.accept_loss) {
    report.needs_accept_loss = true;
    return report;
  }
  if (verdict_.nothing_to_do() && findings_.sound) return report;
  if (options_.repair.stop.stop_requested()) {
    return Status(StatusCode::kCancelled, "repair was stopped; nothing was changed");
  }
  NESTOR_RETURN_IF_ERROR(findings_.sound ? mend_in_place() : mend_by_copy());
  report.changed = true;
  report.set_aside = lost_.path();
  return report;
}

RepairWriter::Plan StoreRepair::plan(bool fresh) const {
  return {.survey = survey_,
          .verdict = verdict_,
          .fresh = fresh,
          .watermark = findings_.watermark.value_or(0),
          .format = {.format_version = manifest_->format_version,
                     .database_id = manifest_->database_id,
                     .writer = manifest_->writer,
                     .created_seconds = manifest_->created_seconds},
          .space_of = options_.space_of};
}

Status StoreRepair::put_guards_aside() {
  if (findings_.manifest_bad) NESTOR_RETURN_IF_ERROR(lost_.put_copy(kManifestName));
  if (!findings_.watermark) NESTOR_RETURN_IF_ERROR(lost_.put_copy(kWatermarkName));
  return lost_.finish();
}

Status StoreRepair::write_guards(const std::string& folder, std::uint64_t sequence) {
  NESTOR_RETURN_IF_ERROR(create_watermark(folder, manifest_->database_id));
  NESTOR_ASSIGN_OR_RETURN(WatermarkWriter watermark,
                          WatermarkWriter::open(folder, manifest_->database_id));
  NESTOR_RETURN_IF_ERROR(watermark.advance(sequence));
  return write_manifest(folder, *manifest_);
}

Status StoreRepair::mend_in_place() {
  RepairWriter writer(plan(false), lost_, [](rocksdb::WriteBatch&) { return Status(); });
  NESTOR_RETURN_IF_ERROR(scan_([&](std::string_view key, std::string_view value) -> Result<bool> {
    if (const Status status = writer.on_record(key, value); !status.ok()) return status;
    return true;
  }));
  writer.finish();
  NESTOR_RETURN_IF_ERROR(put_guards_aside());
  strict_.reset();
  const std::string folder = path_ + "/" + kRocksdbName;
  NESTOR_RETURN_IF_ERROR(check_free_space(
      free_bytes_, path_,
      log_bytes(folder) + static_cast<std::int64_t>(writer.batch().GetDataSize()), "make room"));
  NESTOR_ASSIGN_OR_RETURN(const RocksdbPointer db, open_rocksdb(folder, OpenMode::kWrite));
  rocksdb::WriteOptions options;
  options.sync = true;
  NESTOR_RETURN_IF_ERROR(
      status_from_rocksdb(db->Write(options, &writer.batch()), "write the repair of " + path_));
  std::error_code ignored;
  fs::remove_all(path_ + "/cache", ignored);
  return write_guards(path_, writer.state().sequence);
}

Status StoreRepair::mend_by_copy() {
  std::int64_t table_bytes = 0;
  for (const FolderEntry& file : list_files_below(path_ + "/" + kRocksdbName)) {
    table_bytes += file.bytes;
  }
  NESTOR_RETURN_IF_ERROR(check_free_space(free_bytes_, path_, table_bytes,
                                          "make room; a repair writes a new RocksDB"));
  const std::string folder = scratch_ + "/" + kRocksdbName;
  NESTOR_RETURN_IF_ERROR(make_folders(scratch_));
  StoreState state;
  {
    NESTOR_ASSIGN_OR_RETURN(const RocksdbPointer db, open_rocksdb(folder, OpenMode::kCreate));
    rocksdb::WriteOptions unlogged;
    unlogged.disableWAL = true;
    const auto flush = [&](rocksdb::WriteBatch& batch) -> Status {
      NESTOR_RETURN_IF_ERROR(
          status_from_rocksdb(db->Write(unlogged, &batch), "write the new RocksDB of " + path_));
      batch.Clear();
      return check_free_space(free_bytes_, path_, 0, "make room; a repair writes a new RocksDB");
    };
    RepairWriter writer(plan(true), lost_, flush);
    NESTOR_RETURN_IF_ERROR(scan_([&](std::string_view key, std::string_view value) -> Result<bool> {
      if (const Status status = writer.on_record(key, value); !status.ok()) return status;
      return true;
    }));
    writer.finish();
    state = writer.state();
    NESTOR_RETURN_IF_ERROR(flush(writer.batch()));
    NESTOR_RETURN_IF_ERROR(
        status_from_rocksdb(db->Flush(rocksdb::FlushOptions()), "write tables of " + folder));
  }
  salvage_.reset();
  NESTOR_RETURN_IF_ERROR(lost_.make());  // the old RocksDB goes there whole
  NESTOR_RETURN_IF_ERROR(lost_.put_copy(kManifestName));
  NESTOR_RETURN_IF_ERROR(lost_.put_copy(kWatermarkName));
  NESTOR_RETURN_IF_ERROR(lost_.finish());
  NESTOR_RETURN_IF_ERROR(write_guards(scratch_, state.sequence));
  NESTOR_RETURN_IF_ERROR(sync_folder(scratch_));
  NESTOR_RETURN_IF_ERROR(
      write_file_atomic(path_ + "/" + kRepairMarkName, fs::path(lost_.path()).filename().string()));
  return exchange_rocksdb(path_);
}

}  // namespace

bool is_repair_unfinished(const std::string& path) {
  const std::string mark = path + "/" + kRepairMarkName;
  if (!is_regular_file(mark)) return false;
  if (is_folder(path + "/" + kRepairFolderName)) return true;
  const Result<std::string> lost = read_file(mark, 4096);
  return lost.ok() && lost.value().starts_with(kLostPrefix);
}

Result<RepairReport> repair_store(const std::string& path, const StoreRepairOptions& options) {
  return catching_exceptions([&]() -> Result<RepairReport> {
    if (folder_kind(path) == FolderKind::kOther)
      return Status(StatusCode::kNotFound, "there is no Nestor database at " + path);
    NESTOR_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::take(path));
    const bool unfinished = is_repair_unfinished(path);
    if (unfinished) NESTOR_RETURN_IF_ERROR(exchange_rocksdb(path));
    std::error_code ignored;
    fs::remove_all(path + "/" + kRepairFolderName, ignored);
    StoreRepair repair(path, options);
    Result<RepairReport> report = repair.run();
    // What the mark speaks of is the only whole copy there is.
    if (!is_repair_unfinished(path)) fs::remove_all(path + "/" + kRepairFolderName, ignored);
    if (report.ok() && unfinished) {
      RepairReport finished = std::move(report).value();
      finished.changed = true;
      finished.mended.emplace_back("a repair that had died while it exchanged RocksDB's folder");
      return finished;
    }
    return report;
  });
}

}  // namespace nestor::storage
