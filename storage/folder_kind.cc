#include "storage/folder_kind.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/bytes.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/text.h"
#include "storage/folder_lock.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "storage/store_repair.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

// Enough for every file that is looked at here.
constexpr std::uint64_t kMostBytes = 16 << 10;

std::optional<std::string> small_file(const std::string& path) {
  if (!is_regular_file(path)) return std::nullopt;
  Result<std::string> bytes = read_file(path, kMostBytes);
  if (!bytes.ok()) return std::nullopt;
  return std::move(bytes).value();
}

bool has_manifest(const std::string& path) {
  const std::string file = path + "/" + kManifestName;
  if (!is_regular_file(file)) return false;
  const Result<std::string> bytes = read_file(file, kMostBytes);
  // One that cannot be read is for the opener to complain of.
  return bytes.ok() ? is_manifest(bytes.value()) : bytes.status().code() == StatusCode::kIoError;
}

// Whatever of it is damaged: CURRENT names a manifest, or one lies there under its number.
bool has_rocksdb(const std::string& path) {
  constexpr std::string_view kName = "MANIFEST-";
  const std::string folder = path + "/" + kRocksdbName;
  const std::optional<std::string> current = small_file(folder + "/CURRENT");
  if (current.has_value() && current->starts_with(kName)) return true;
  const Result<std::vector<FolderEntry>> entries = list_folder(folder);
  if (!entries.ok()) return false;
  return std::any_of(entries.value().begin(), entries.value().end(), [&](const auto& entry) {
    return entry.is_file && entry.name.starts_with(kName) && entry.name.size() > kName.size() &&
           entry.name.find_first_not_of("0123456789", kName.size()) == std::string::npos;
  });
}

bool has_watermark(const std::string& path) {
  const std::optional<std::string> bytes = small_file(path + "/" + kWatermarkName);
  return bytes.has_value() && is_watermark(*bytes);
}

// Which file of a database is there beside or instead of the manifest; empty: none.
std::string remains_in(const std::string& path) {
  if (has_watermark(path)) return kWatermarkName;
  if (has_rocksdb(path)) return std::string(kRocksdbName) + "/CURRENT";
  if (is_repair_unfinished(path)) return kRepairMarkName;
  return {};
}

}  // namespace

bool is_manifest(std::string_view bytes) {
  constexpr std::size_t kHeadBytes = 12;
  constexpr std::size_t kCheckedBytes = kHeadBytes + sizeof(std::uint64_t);
  if (!bytes.starts_with(kManifestMagic)) return false;
  ByteReader in(bytes.substr(std::min(bytes.size(), kHeadBytes)));
  std::uint64_t check = 0;
  if (in.u64(check) && check == hash64(bytes.substr(0, kHeadBytes))) return true;
  // A damaged one: no text has the zeros of a version's upper bytes.
  return bytes.substr(0, kCheckedBytes).find('\0') != bytes.npos;
}

FolderKind folder_kind(const std::string& path) {
  if (path.empty() || !is_folder(path)) return FolderKind::kOther;
  if (has_manifest(path)) return FolderKind::kDatabase;
  return remains_in(path).empty() ? FolderKind::kOther : FolderKind::kRemains;
}

Status remains_status(const std::string& path) {
  return {StatusCode::kDataLoss,
          fmt::format("{} holds {} of a Nestor database, but its file {} is missing or damaged. To "
                      "see what can be saved: nestor repair {}",
                      quote_for_message(path, 512), remains_in(path), kManifestName, path)};
}

bool is_leftover_of_creation(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  if (name == kLockName) {
    const std::optional<std::string> lock = small_file(path);
    return lock.has_value() && lock->empty();
  }
  if (!name.starts_with(std::string(kManifestName) + ".") || !name.ends_with(".tmp")) return false;
  const std::optional<std::string> begun = small_file(path);
  return begun.has_value() && (begun->empty() || is_manifest(*begun) ||
                               std::string_view(kManifestMagic).starts_with(*begun));
}

}  // namespace nestor::storage
