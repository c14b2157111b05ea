// Attributes that Nestor itself keeps with a collection (Database::set_attribute), beside those of
// text_analysis.h. Threads: constants and a free function, safe anywhere.
#pragma once

#include <string_view>

namespace nestor::query {

// STORED. Of a collection that is kept in step with a folder of documents:
inline constexpr const char* kFolderAttribute = "folder";         // the real path
inline constexpr const char* kCutAttribute = "folder-cut";        // set when a run has gone through
inline constexpr const char* kSyncedAttribute = "folder-synced";  // seconds since 1970, likewise
// Documents of files when a run last finished, and how many of them are kept although their files
// are missing; empty where none are.
inline constexpr const char* kFilesAttribute = "folder-files";
inline constexpr const char* kHeldAttribute = "folder-held";

// Says something about this machine, so it does not travel with an export.
constexpr bool is_local_attribute(std::string_view name) {
  return name == kFolderAttribute || name == kCutAttribute || name == kSyncedAttribute ||
         name == kFilesAttribute || name == kHeldAttribute;
}

}  // namespace nestor::query
