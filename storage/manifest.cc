#include "storage/manifest.h"

#include <fmt/format.h>

#include <chrono>
#include <random>

#include "core/bytes.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "nestor/version.h"
#include "storage/document_store.h"
#include "storage/folder_kind.h"

namespace nestor::storage {
namespace {

constexpr std::string_view kMagic = kManifestMagic;
constexpr std::uint64_t kMostBytes = 4096;
// Magic, version and their own check: the part that no later format may change.
constexpr std::size_t kHeadBytes = 12;

Status damaged(const std::string& path, const std::string& what) {
  return {StatusCode::kDataLoss,
          fmt::format("{} is damaged ({}); restore it from a backup of this database", path, what)};
}

Result<Manifest> parse_manifest(const std::string& path, std::string_view bytes) {
  ByteReader in(bytes);
  std::string_view magic;
  std::uint32_t version = 0;
  std::uint64_t head_check = 0;
  if (!in.raw(kMagic.size(), magic) || !in.u32(version) || !in.u64(head_check)) {
    return damaged(path, fmt::format("{} bytes, expected more", bytes.size()));
  }
  if (magic != kMagic) return damaged(path, "it does not begin with NESTORDB");
  if (head_check != hash64(bytes.substr(0, kHeadBytes))) return damaged(path, "head checksum");
  if (version > static_cast<std::uint32_t>(kFormatVersion)) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{} says format {}, this program ({}) reads formats up to {}; use a "
                              "newer Nestor",
                              path, version, kVersion, kFormatVersion));
  }
  Manifest manifest{.format_version = static_cast<int>(version), .writer = {}};
  std::uint8_t complete = 0;
  std::string_view writer;
  in.u8(complete);
  in.u64(manifest.database_id);
  in.string(writer);
  in.u64(manifest.created_seconds);
  const std::size_t covered = bytes.size() - in.rest().size();
  std::uint64_t check = 0;
  in.u64(check);
  if (!in.finished() || complete > 1 || version == 0) return damaged(path, "its fields");
  if (check != hash64(bytes.substr(0, covered))) return damaged(path, "checksum");
  manifest.complete = complete == 1;
  manifest.writer = writer;
  return manifest;
}

}  // namespace

Manifest new_manifest() {
  std::random_device random;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.format_version = kFormatVersion,
          .complete = false,
          .database_id = static_cast<std::uint64_t>(random()) << 32 | random(),
          .writer = kVersion,
          .created_seconds = static_cast<std::uint64_t>(
              std::chrono::duration_cast<std::chrono::seconds>(now).count())};
}

Result<std::optional<Manifest>> read_manifest(const std::string& folder) {
  if (folder_kind(folder) == FolderKind::kOther) return std::optional<Manifest>();
  const std::string path = folder + "/" + kManifestName;
  Result<std::string> bytes = read_file(path, kMostBytes);
  if (bytes.status().code() == StatusCode::kNotFound) return std::optional<Manifest>();
  if (bytes.status().code() == StatusCode::kInvalidArgument) {
    return damaged(path, bytes.status().message());
  }
  if (!bytes.ok()) return bytes.status();
  NESTOR_ASSIGN_OR_RETURN(Manifest manifest, parse_manifest(path, bytes.value()));
  return std::optional<Manifest>(std::move(manifest));
}

Status write_manifest(const std::string& folder, const Manifest& manifest) {
  ByteWriter out;
  out.raw(kMagic);
  out.u32(static_cast<std::uint32_t>(manifest.format_version));
  out.u64(hash64(out.bytes()));
  out.u8(manifest.complete ? 1 : 0);
  out.u64(manifest.database_id);
  out.string(manifest.writer);
  out.u64(manifest.created_seconds);
  out.u64(hash64(out.bytes()));
  return write_file_atomic(folder + "/" + kManifestName, out.bytes());
}

}  // namespace nestor::storage
