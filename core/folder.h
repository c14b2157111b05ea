// What a folder holds. std::filesystem's iterators end the process where an allocation fails in
// them (their error_code forms are noexcept in libstdc++); this is told by an exception like any
// other. Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestor/status.h"

namespace nestor {

struct FolderEntry {
  std::string name;
  bool is_file = false;    // a regular file
  bool is_folder = false;  // not a link to one
  std::int64_t bytes = 0;  // of a file
};

// In the order of their names, without "." and ".."; what goes away meanwhile is left out.
// Errors: kNotFound, kIoError. Throws std::bad_alloc.
Result<std::vector<FolderEntry>> list_folder(const std::string& path);

// The regular files of a folder and of all folders below it, links not followed; names from `path`
// on, in no order. A folder that cannot be listed, or goes away meanwhile, counts as empty.
std::vector<FolderEntry> list_files_below(const std::string& path);

// A folder with everything in it; links are not followed. What cannot be removed stays. For
// destructors: nothing is thrown.
void remove_folder_quietly(const std::string& path) noexcept;

}  // namespace nestor
