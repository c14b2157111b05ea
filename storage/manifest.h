// The file NESTOR in a database's folder: says that this is a Nestor database and in which format,
// before anything else is opened. Written twice in its life: when making begins and when it is
// done. Threads: free functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nestor/status.h"

namespace nestor::storage {

struct Manifest {
  int format_version = 0;
  bool complete = false;          // false: the process died while it made the database
  std::uint64_t database_id = 0;  // random; RocksDB and the watermark carry it too
  std::string writer;             // version of the library that made it
  std::uint64_t created_seconds = 0;
};

inline constexpr const char* kManifestName = "NESTOR";
inline constexpr const char* kManifestMagic = "NESTORDB";

// Of a new database: this format, a random id, now.
Manifest new_manifest();
// Nothing where there is no such file, or a text of that name and nothing of a database beside it
// (folder_kind.h). Errors: kUnsupported (a newer format, both numbers),
// kDataLoss, kIoError.
Result<std::optional<Manifest>> read_manifest(const std::string& folder);
// Errors: kIoError, kNoSpace.
Status write_manifest(const std::string& folder, const Manifest& manifest);

}  // namespace nestor::storage
