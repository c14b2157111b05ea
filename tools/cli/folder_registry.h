// The indexes of plain folders in Nestor's data folder: which folder each belongs to, found again
// when the folder was moved. Beside the database indexes/HASH lies HASH.json with the folder's real
// path and identity; its time of change says when the index was last used.
// Threads: free functions; files are replaced as a whole, so several processes may call them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestor/status.h"

namespace nestor::cli {

struct FolderIndex {
  std::string database;           // the folder of the database
  std::string folder;             // real path of the documents; empty: not known
  std::string identity;           // as folder_identity had it; empty: not known
  std::int64_t used_seconds = 0;  // since 1970; 0: not known
};

// Where the index of a folder lies; it may not exist yet. Errors: kInvalidArgument (no home).
Result<std::string> index_of_folder(const std::string& real_path);
// The real path that a folder had which is gone, as far as it can be told.
std::string path_of_gone_folder(const std::string& typed);
// What stays the same when a folder is moved within its file system: device, inode and the time it
// was made. Empty where that tells no folder from another: where there is none, where the file
// system does not know the time, and for the root of a file system.
std::string folder_identity(const std::string& path);
// Notes that `database` is the index of the folder, and that it is used now. A failure is none:
// the index works without the note.
void note_folder(const std::string& database, const std::string& real_path);
void note_use(const std::string& database);
// All there are, in the order of their folders; without a note the database itself is asked.
std::vector<FolderIndex> list_folder_indexes();
// Gives the index of a folder that was moved to `real_path` the place `database`: that of a folder
// of the same identity whose old path is gone and of whose files at least one is in the new place,
// if nobody has it open. True where there was one.
bool adopt_moved_index(const std::string& database, const std::string& real_path);
// Removes an index and its note. The index is renamed first, so that no half of it is ever found.
// Errors: kLocked (somebody has it open for writing), kIoError.
Status remove_index(const FolderIndex& index);
// Removes what a remove_index that was killed left behind.
void remove_leftovers();

}  // namespace nestor::cli
