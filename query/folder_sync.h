// FolderSync: a collection kept in step with a folder of text files. New and changed files are
// added, files that are gone are removed, everything else is left as it is. The folder is only
// read.
//
// Each file is one document: key and metadata "path" are its path in the folder, the title is its
// top-level heading, else a heading that it begins with, else its name. A byte order mark is taken
// off; ill-formed UTF-8 becomes U+FFFD and is counted. Work is committed every few dozen passages,
// so that a run that is stopped or killed keeps what it has done and the next one goes on there.
//
// Threads: as Database::add; one sync a collection at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "nestor/database.h"
#include "query/collection_attributes.h"
#include "query/folder_walk.h"

namespace nestor::query {

struct SyncProgress {
  std::int64_t files_done = 0;
  std::int64_t files_total = 0;
  std::int64_t passages_done = 0;
  std::int64_t tokens_done = 0;
  // An estimate from the bytes that are left.
  std::int64_t tokens_total = 0;
};

struct SyncOptions {
  std::string collection = kDefaultCollection;
  SplitOptions split = {};
  std::int64_t most_file_bytes = 16 << 20;  // what Database::add takes
  // Where the database lies; it is passed over if that is inside the folder.
  std::string database_path = {};
  std::stop_token stop = {};
  std::function<void(const SyncProgress&)> progress = {};
};

struct SyncReport {
  std::int64_t files = 0;  // read as text
  AddReport documents;
  std::int64_t removed = 0;
  std::int64_t repaired_files = 0;
  std::int64_t replaced_sequences = 0;  // of ill-formed UTF-8, in the repaired files
  std::vector<SkippedFile> skipped;
  // The caller asked to stop; what is counted above is committed.
  bool interrupted = false;
};

// Errors: those of walk_folder and Database::add; kAlreadyExists (the collection was made from
// another folder, which still exists). What was committed before an error stays.
Result<SyncReport> sync_folder(Database& database, const std::string& folder,
                               const SyncOptions& options);

}  // namespace nestor::query
