// FolderSync: a collection kept in step with a folder of text files. New and changed files are
// added, files that are gone are removed, everything else is left as it is. The folder is only
// read.
//
// Each file is one document: its key is its path in the folder, byte for byte, its metadata "path"
// the same in NFC, its title its top-level heading, else a heading that it begins with, else its
// name. A byte order mark is taken off, UTF-16 and UTF-32 that have one are converted, ill-formed
// UTF-8 becomes U+FFFD and the file is named in the report; Document::source keeps where each
// passage is in the file. An empty file is no document. Work is committed every few dozen passages,
// so that a run that is stopped or killed keeps what it has done and the next one goes on there.
//
// A folder that comes back empty, or nearly so, may be a disk that is not mounted or a cloud folder
// that is half synced. Documents whose text is in no file of the folder any more are missing; they
// are kept, and listed, where they are all of the folder's and at least 2, or more than half of
// them and at least 4. What counts is what the last finished run left, not what came since. While
// documents are kept so, every missing document is kept, also in later runs, until none is missing
// or SyncOptions::remove_missing removes them. So one deleted file, or two of three, go without a
// word, and so do files that were moved or renamed. A damaged document that no file belongs to
// counts as one whose file is gone.
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
  bool remove_missing = false;
  // The database is the folder's own, wherever the folder was before: a collection that names
  // another folder is bound to this one.
  bool own_database = false;
  std::stop_token stop = {};
  std::function<void(const SyncProgress&)> progress = {};
};

// A file in which ill-formed sequences became U+FFFD.
struct RepairedFile {
  std::string path;
  std::int64_t sequences = 0;
};

struct SyncReport {
  std::int64_t files = 0;  // read as text
  AddReport documents;
  std::int64_t removed = 0;
  std::vector<RepairedFile> repaired;
  // Documents that were kept although their files are gone; empty where nothing is held back.
  std::vector<std::string> missing;
  std::vector<SkippedFile> skipped;
  // The caller asked to stop; what is counted above is committed.
  bool interrupted = false;
};

// Whether a document was made from a file of the folder, and not added by hand.
bool is_document_of_file(const Document& document);

// Errors: those of walk_folder and Database::add; kAlreadyExists (the collection was made from
// another folder, which still exists, and the database is not the folder's own). What was committed
// before an error stays.
Result<SyncReport> sync_folder(Database& database, const std::string& folder,
                               const SyncOptions& options);

}  // namespace nestor::query
