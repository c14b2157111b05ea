#include "storage/bundle.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"
#include "storage/bundle_header.h"
#include "storage/copy_staging.h"
#include "storage/document_store.h"
#include "storage/folder_lock.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;

Status stopped() { return {StatusCode::kCancelled, "it was stopped; nothing is left of it"}; }

// What the database in a folder is known by.
Result<BundleReport> facts_of(const std::string& folder) {
  NESTOR_ASSIGN_OR_RETURN(const auto store, DocumentStore::open(folder, {.create_if_missing = false,
                                                                         .read_only = true}));
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, read_manifest(folder));
  const DocumentStore::ViewPointer view = store->view();
  NESTOR_ASSIGN_OR_RETURN(const std::vector<Collection> collections, store->collections(*view));
  BundleReport facts;
  facts.format_version = manifest.has_value() ? manifest->format_version : 0;
  facts.sequence = store->sequence(*view);
  for (const Collection& collection : collections) {
    facts.collections.push_back(bundled_collection(collection));
  }
  return facts;
}

// The files of a backup, by name.
std::vector<BundledFile> files_of(const std::string& folder) {
  std::vector<BundledFile> files;
  for (const FolderEntry& file : list_files_below(folder)) {
    if (file.name == kLockName) continue;
    files.push_back({.name = file.name, .bytes = static_cast<std::uint64_t>(file.bytes)});
  }
  std::sort(files.begin(), files.end(),
            [](const BundledFile& a, const BundledFile& b) { return a.name < b.name; });
  return files;
}

// Writes at the end, and hashes what it writes.
class BundleWriter {
 public:
  explicit BundleWriter(FileReplacement file) : file_(std::move(file)) {}
  Status write(std::string_view bytes) {
    hash_.update(bytes);
    NESTOR_RETURN_IF_ERROR(file_.write(end_, bytes));
    end_ += bytes.size();
    return {};
  }
  Status write_file(const std::string& path, std::uint64_t bytes, const std::stop_token& stop) {
    NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
    std::string block;
    for (std::uint64_t at = 0; at < bytes; at += kBlockBytes) {
      if (stop.stop_requested()) return stopped();
      block.resize(std::min(kBlockBytes, bytes - at));
      NESTOR_RETURN_IF_ERROR(file.read(at, block));
      NESTOR_RETURN_IF_ERROR(write(block));
    }
    return {};
  }
  // The checksum, and the name.
  Result<std::string> finish() {
    std::string digits = hash_.hex();
    NESTOR_RETURN_IF_ERROR(file_.write(end_, digits));
    end_ += digits.size();
    NESTOR_RETURN_IF_ERROR(file_.commit());
    return digits;
  }
  [[nodiscard]] std::uint64_t end() const { return end_; }

 private:
  FileReplacement file_;
  Sha256 hash_;
  std::uint64_t end_ = 0;
};

struct RemovedAtTheEnd {
  std::string folder;
  ~RemovedAtTheEnd() {
    remove_folder_quietly(folder);  // what cannot be removed stays behind under its temporary name
  }
};

Result<BundleReport> write(const std::string& path, const std::string& file,
                           const BackupOptions& options) {
  std::error_code error;
  if (file.empty() || fs::exists(fs::symlink_status(file, error))) {
    return Status(StatusCode::kAlreadyExists,
                  "\"" + file + "\" cannot be written: it is there already, or has no name");
  }
  const RemovedAtTheEnd copy{fmt::format("{}.copy-{}", file, ::getpid())};
  NESTOR_RETURN_IF_ERROR(backup_store(path, copy.folder, options).status());
  BundleHeader header;
  NESTOR_ASSIGN_OR_RETURN(header.facts, facts_of(copy.folder));
  header.files = files_of(copy.folder);
  std::uint64_t bytes = 0;
  for (const BundledFile& bundled : header.files) bytes += bundled.bytes;
  NESTOR_RETURN_IF_ERROR(check_room_for(copy.folder, static_cast<std::int64_t>(bytes)));
  NESTOR_ASSIGN_OR_RETURN(const std::string start, encode_bundle_start(header));
  NESTOR_ASSIGN_OR_RETURN(FileReplacement made, FileReplacement::create(file));
  BundleWriter writer(std::move(made));
  NESTOR_RETURN_IF_ERROR(writer.write(start));
  for (const BundledFile& bundled : header.files) {
    NESTOR_RETURN_IF_ERROR(
        writer.write_file(copy.folder + "/" + bundled.name, bundled.bytes, options.stop));
  }
  BundleReport report = std::move(header.facts);
  NESTOR_ASSIGN_OR_RETURN(report.sha256, writer.finish());
  report.bytes = static_cast<std::int64_t>(writer.end());
  return report;
}

// Reads forward, and hashes what it reads.
class BundleReader {
 public:
  explicit BundleReader(RandomAccessFile file) : file_(std::move(file)) {}
  Status read(std::string& bytes) {
    NESTOR_RETURN_IF_ERROR(file_.read(at_, bytes));
    hash_.update(bytes);
    at_ += bytes.size();
    return {};
  }
  Status extract(const BundledFile& bundled, const std::string& to, const std::stop_token& stop) {
    NESTOR_ASSIGN_OR_RETURN(FileReplacement made, FileReplacement::create(to));
    std::string block;
    for (std::uint64_t at = 0; at < bundled.bytes; at += kBlockBytes) {
      if (stop.stop_requested()) return stopped();
      block.resize(std::min(kBlockBytes, bundled.bytes - at));
      NESTOR_RETURN_IF_ERROR(read(block));
      NESTOR_RETURN_IF_ERROR(made.write(at, block));
    }
    return made.commit();
  }
  // The digits of what was read; kDataLoss where the file ends with others.
  Result<std::string> check_hash() {
    std::string written(kBundleHashDigits, '\0');
    NESTOR_RETURN_IF_ERROR(file_.read(at_, written));
    std::string digits = hash_.hex();
    if (digits == written) return digits;
    return Status(
        StatusCode::kDataLoss,
        fmt::format("the bundle {} is damaged: its bytes have the SHA-256 {}, it says {}; "
                    "get it once more",
                    file_.path(), digits, quote_for_message(written)));
  }
  [[nodiscard]] const RandomAccessFile& file() const { return file_; }

 private:
  RandomAccessFile file_;
  Sha256 hash_;
  std::uint64_t at_ = 0;
};

Status check_facts(const std::string& file, const BundleHeader& header, BundleReport found) {
  const BundleReport& said = header.facts;
  if (header.version == kFirstBundleVersion) {
    for (BundledCollection& collection : found.collections) {
      collection.metric = Metric::kCosine;
      collection.attributes.clear();
    }
  }
  if (said.format_version == found.format_version && said.sequence == found.sequence &&
      said.collections == found.collections) {
    return {};
  }
  return {StatusCode::kDataLoss,
          fmt::format("the bundle {} says format {}, batch {} and {} collections, and holds format "
                      "{}, batch {} and {} collections or other contents",
                      file, said.format_version, said.sequence, said.collections.size(),
                      found.format_version, found.sequence, found.collections.size())};
}

Status verify_unpacked(const std::string& file, const std::string& folder,
                       const BackupOptions& options) {
  NESTOR_ASSIGN_OR_RETURN(const auto store, DocumentStore::open(folder, {.create_if_missing = false,
                                                                         .read_only = true}));
  NESTOR_ASSIGN_OR_RETURN(const VerifyReport report, store->verify(options.stop));
  if (report.problems.empty()) return {};
  return {StatusCode::kDataLoss,
          fmt::format("what is in the bundle {} is damaged in {} places; the first: {}", file,
                      report.problems.size(), report.problems.front())};
}

Result<BundleReport> read(const std::string& file, const std::string& to,
                          const BackupOptions& options) {
  NESTOR_ASSIGN_OR_RETURN(RandomAccessFile opened, RandomAccessFile::open(file));
  const std::uint64_t bytes = opened.bytes();
  BundleReader reader(std::move(opened));
  std::string start(std::min(bytes, kBundleStartBytes), '\0');
  NESTOR_RETURN_IF_ERROR(reader.read(start));
  NESTOR_ASSIGN_OR_RETURN(const BundleStart begin, parse_bundle_start(file, start));
  std::string body(std::min<std::uint64_t>(begin.header_bytes, bytes - kBundleStartBytes), '\0');
  NESTOR_RETURN_IF_ERROR(reader.read(body));
  NESTOR_ASSIGN_OR_RETURN(const BundleHeader header,
                          parse_bundle_header(file, begin.version, body, bytes));
  if (header.facts.format_version > kFormatVersion) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("the bundle {} holds a database of format {}, this program reads "
                              "formats up to {}; use a newer Nestor",
                              file, header.facts.format_version, kFormatVersion));
  }
  NESTOR_ASSIGN_OR_RETURN(CopyStaging staging, CopyStaging::begin(to));
  NESTOR_RETURN_IF_ERROR(check_room_for(staging.folder(), static_cast<std::int64_t>(bytes)));
  NESTOR_RETURN_IF_ERROR(make_folders(staging.folder() + "/" + kRocksdbName));
  for (const BundledFile& bundled : header.files) {
    NESTOR_RETURN_IF_ERROR(
        reader.extract(bundled, staging.folder() + "/" + bundled.name, options.stop));
  }
  NESTOR_ASSIGN_OR_RETURN(std::string sha256, reader.check_hash());
  NESTOR_ASSIGN_OR_RETURN(BundleReport report, facts_of(staging.folder()));
  NESTOR_RETURN_IF_ERROR(check_facts(file, header, report));
  report.sha256 = std::move(sha256);
  report.bytes = static_cast<std::int64_t>(bytes);
  if (options.verify) {
    NESTOR_RETURN_IF_ERROR(verify_unpacked(file, staging.folder(), options));
  }
  NESTOR_RETURN_IF_ERROR(staging.commit());
  return report;
}

}  // namespace

Result<BundleReport> write_bundle(const std::string& path, const std::string& file,
                                  const BackupOptions& options) {
  return catching_exceptions([&] { return write(path, file, options); });
}

Result<BundleReport> read_bundle(const std::string& file, const std::string& to,
                                 const BackupOptions& options) {
  return catching_exceptions([&] { return read(file, to, options); });
}

}  // namespace nestor::storage
