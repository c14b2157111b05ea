#include "storage/bundle_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/bytes.h"
#include "core/text.h"
#include "storage/collection_descriptor.h"
#include "storage/manifest.h"
#include "storage/rocksdb_options.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

constexpr std::string_view kMagic = "NSTRBNDL";
constexpr std::uint64_t kMostFiles = 100'000;
constexpr std::uint64_t kMostCollections = 100'000;

Status damaged(const std::string& file, const std::string& what) {
  return {StatusCode::kDataLoss, fmt::format("the bundle {} {}; get it once more", file, what)};
}

// Only what a database consists of: no name leads out of its folder, and none hides in it.
bool is_database_file(std::string_view name) {
  if (name == kManifestName || name == kWatermarkName) return true;
  const std::string folder = std::string(kRocksdbName) + "/";
  if (!name.starts_with(folder)) return false;
  name.remove_prefix(folder.size());
  const bool plain = name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
                       return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                              (c >= 'a' && c <= 'z') || c == '.';
                     });
  return plain && (name == "CURRENT" || name == "IDENTITY" || name.starts_with("MANIFEST-") ||
                   (!name.starts_with(".") && (name.ends_with(".sst") || name.ends_with(".log"))));
}

// False where the metric is none.
bool read_options(ByteReader& reader, BundledCollection& collection) {
  std::uint8_t metric = 0;
  std::uint64_t count = 0;
  reader.u8(metric);
  reader.varint(count);
  collection.metric = static_cast<Metric>(metric);
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    std::string_view name;
    std::string_view value;
    reader.string(name);
    reader.string(value);
    collection.attributes[std::string(name)] = value;
  }
  return metric <= static_cast<std::uint8_t>(Metric::kL2);
}

bool read_collection(ByteReader& reader, std::uint32_t version, BundledCollection& collection) {
  std::string_view name;
  std::string_view space;
  std::string_view model;
  std::string_view digest;
  std::uint64_t width = 0;
  std::uint64_t documents = 0;
  std::uint64_t passages = 0;
  reader.string(name);
  reader.string(space);
  reader.string(model);
  reader.varint(width);
  reader.varint(documents);
  reader.varint(passages);
  reader.string(digest);
  collection = {.name = std::string(name),
                .space = std::string(space),
                .model = std::string(model),
                .width = static_cast<int>(std::min(width, std::uint64_t{1} << 30)),
                .documents = static_cast<std::int64_t>(documents),
                .passages = static_cast<std::int64_t>(passages),
                .digest = std::string(digest)};
  return version == kFirstBundleVersion || read_options(reader, collection);
}

}  // namespace

BundledCollection bundled_collection(const Collection& collection) {
  const auto [name, dim, user_vectors, metric, fingerprint, model, attributes] =
      describe(collection);
  return {.name = name,
          .space = user_vectors ? "external" : fingerprint,
          .model = model,
          .width = dim,
          .documents = collection.documents,
          .passages = collection.passages,
          .digest = fmt::format("{:016x}{:016x}", collection.digest.high, collection.digest.low),
          .metric = metric,
          .attributes = attributes};
}

Result<std::string> encode_bundle_start(const BundleHeader& header) {
  ByteWriter body;
  body.u32(static_cast<std::uint32_t>(header.facts.format_version));
  body.u64(header.facts.sequence);
  body.varint(header.facts.collections.size());
  for (const BundledCollection& collection : header.facts.collections) {
    body.string(collection.name);
    body.string(collection.space);
    body.string(collection.model);
    body.varint(static_cast<std::uint64_t>(collection.width));
    body.varint(static_cast<std::uint64_t>(collection.documents));
    body.varint(static_cast<std::uint64_t>(collection.passages));
    body.string(collection.digest);
    body.u8(static_cast<std::uint8_t>(collection.metric));
    body.varint(collection.attributes.size());
    for (const auto& [name, value] : collection.attributes) {
      body.string(name);
      body.string(value);
    }
  }
  body.varint(header.files.size());
  for (const BundledFile& file : header.files) {
    body.string(file.name);
    body.u64(file.bytes);
  }
  if (body.bytes().size() > kMostBundleHeaderBytes || header.files.size() > kMostFiles ||
      header.facts.collections.size() > kMostCollections) {
    return Status(
        StatusCode::kInvalidArgument,
        fmt::format("the header of the bundle would have {} bytes, {} files and {} collections, at "
                    "most {}, {} and {} are taken; `nestor backup` copies the database all the "
                    "same, and `nestor export` a collection",
                    body.bytes().size(), header.files.size(), header.facts.collections.size(),
                    kMostBundleHeaderBytes, kMostFiles, kMostCollections));
  }
  ByteWriter start;
  start.raw(kMagic);
  start.u32(kBundleVersion);
  start.u32(static_cast<std::uint32_t>(body.bytes().size()));
  start.raw(body.bytes());
  return start.take();
}

Result<BundleStart> parse_bundle_start(const std::string& file, std::string_view start) {
  ByteReader reader(start);
  std::string_view magic;
  std::uint32_t version = 0;
  std::uint32_t length = 0;
  reader.raw(kMagic.size(), magic);
  reader.u32(version);
  reader.u32(length);
  if (!reader.finished() || magic != kMagic) {
    return damaged(file, fmt::format("is none: it does not begin with {}", kMagic));
  }
  if (version < kFirstBundleVersion || version > kBundleVersion) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("the bundle {} has version {}, this program reads {} to {}; use a "
                              "newer Nestor",
                              file, version, kFirstBundleVersion, kBundleVersion));
  }
  if (length > kMostBundleHeaderBytes) {
    return damaged(file, fmt::format("says that its header has {} bytes, at most {} are taken",
                                     length, kMostBundleHeaderBytes));
  }
  return BundleStart{.version = version, .header_bytes = length};
}

Result<BundleHeader> parse_bundle_header(const std::string& file, std::uint32_t version,
                                         std::string_view header, std::uint64_t file_bytes) {
  ByteReader reader(header);
  BundleHeader parsed{.version = version, .facts = {}, .files = {}};
  std::uint32_t format = 0;
  std::uint64_t count = 0;
  reader.u32(format);
  reader.u64(parsed.facts.sequence);
  reader.varint(count);
  parsed.facts.format_version = static_cast<int>(format);
  bool collections_fit = count <= kMostCollections;
  for (std::uint64_t i = 0; i < count && collections_fit && reader.ok(); ++i) {
    collections_fit = read_collection(reader, version, parsed.facts.collections.emplace_back());
  }
  reader.varint(count);
  if (!reader.ok() || !collections_fit || count > kMostFiles) {
    return damaged(file, "is damaged in its header");
  }
  std::set<std::string> names;
  std::uint64_t sum = kBundleStartBytes + header.size() + kBundleHashDigits;
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    std::string_view name;
    BundledFile bundled;
    reader.string(name);
    reader.u64(bundled.bytes);
    if (!reader.ok()) break;
    bundled.name = name;
    if (!is_database_file(name) || !names.insert(bundled.name).second) {
      return damaged(file,
                     "names a file that no database has, or one twice: " + quote_for_message(name));
    }
    if (bundled.bytes > file_bytes || sum > file_bytes) break;
    sum += bundled.bytes;
    parsed.files.push_back(std::move(bundled));
  }
  if (!reader.finished()) return damaged(file, "is damaged in its header");
  if (sum != file_bytes) {
    return damaged(
        file, fmt::format("has {} bytes, by its header {}: it is cut or damaged", file_bytes, sum));
  }
  return parsed;
}

}  // namespace nestor::storage
