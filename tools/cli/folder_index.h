// Indexing a folder with progress on the screen: what `nestor index` and `nestor FOLDER "…"` share.
// Threads: one, the main thread.
#pragma once

#include <string>

#include "nestor/database.h"
#include "query/folder_sync.h"
#include "tools/cli/context.h"
#include "tools/cli/database_target.h"

namespace nestor::cli {

struct FolderIndexOptions {
  std::string collection = kDefaultCollection;
  // 0: as the last run had it, or the library's default.
  int passage_tokens = 0;
  bool remove_missing = false;  // SyncOptions::remove_missing
  std::string precision = {};   // as asked for; empty: that of the model in place
  std::string language = {};    // of the words; empty: that of the collection, or auto
};

// Makes sure, in no time, that there is a model in that precision; then opens or creates the
// database. Errors: kModelMissing before anything is made, and those of Database::open.
Result<Database> open_for_index(const DatabaseTarget& target, const FolderIndexOptions& options,
                                Context& context);

Result<query::SyncReport> index_folder(Database& database, const DatabaseTarget& target,
                                       const FolderIndexOptions& options, Context& context);

// "30 hidden, 2 symbolic link", most first; empty when nothing was skipped.
std::string skipped_by_reason(const query::SyncReport& report);
// "12 of 14 documents are of files that are not in FOLDER any more and were kept: a.md, b.md …"
std::string missing_text(const query::SyncReport& report, const std::string& folder);
// "added 2, updated 0, unchanged 410, removed 0".
std::string changes_text(const query::SyncReport& report);

}  // namespace nestor::cli
