// What a folder is: a database, what is left of one, or anything else. Told by what its files hold
// and never by their names alone, for a folder of documents may hold a text called NESTOR. Every
// part that has to know asks here. Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor::storage {

enum class FolderKind {
  kOther,     // nothing of a database: other files, an empty folder, no folder at all
  kDatabase,  // NESTOR is a manifest; what is in it, and whether it is sound, is another question
  kRemains,   // no manifest, but other files that only a database has
};

// Nothing is changed and no lock is taken. What cannot be read counts as not there.
FolderKind folder_kind(const std::string& path);
// Why a folder of kind kRemains cannot be opened, and what to type. kDataLoss.
Status remains_status(const std::string& path);
// Whether the bytes of a file NESTOR are a manifest, sound or damaged, and no text.
bool is_manifest(std::string_view bytes);
// A file that a process left that died before the manifest had its name: an empty lock, or the
// beginning of a manifest under a temporary name.
bool is_leftover_of_creation(const std::string& folder, const std::string& name);

}  // namespace nestor::storage
