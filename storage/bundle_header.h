// What stands at the beginning of a bundle: what is in it, and the names and sizes of its files.
// STORED: FORMAT.md, section "Bundles". Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/transfer.h"
#include "storage/records.h"

namespace nestor::storage {

inline constexpr std::uint32_t kBundleVersion = 2;
// The first version said nothing of metrics and attributes; it is read.
inline constexpr std::uint32_t kFirstBundleVersion = 1;
inline constexpr std::uint64_t kMostBundleHeaderBytes = std::uint64_t{16} << 20;
// Magic, version, length of the header.
inline constexpr std::uint64_t kBundleStartBytes = 8 + 4 + 4;
inline constexpr std::uint64_t kBundleHashDigits = 64;

struct BundledFile {
  std::string name;  // in the database's folder
  std::uint64_t bytes = 0;
};

// What a bundle says of a collection.
BundledCollection bundled_collection(const Collection& collection);

struct BundleHeader {
  std::uint32_t version = kBundleVersion;
  BundleReport facts;  // without sha256 and bytes
  std::vector<BundledFile> files;
};

// The start and the header, as they stand in the file. Errors: kInvalidArgument (more than a bundle
// may say: no reader would take it).
Result<std::string> encode_bundle_start(const BundleHeader& header);
struct BundleStart {
  std::uint32_t version = kBundleVersion;
  std::uint32_t header_bytes = 0;
};
// `start` are the first kBundleStartBytes. Errors: kDataLoss (no bundle), kUnsupported (a newer
// version, both numbers). `file` is for the messages.
Result<BundleStart> parse_bundle_start(const std::string& file, std::string_view start);
// Errors: kDataLoss (damaged; a file name that no database has; sizes that do not add up to
// `file_bytes`).
Result<BundleHeader> parse_bundle_header(const std::string& file, std::uint32_t version,
                                         std::string_view header, std::uint64_t file_bytes);

}  // namespace nestor::storage
