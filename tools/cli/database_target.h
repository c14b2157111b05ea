// Which database a word of the command line means: a database named by its folder, or the index of
// a plain folder of documents, which lies in Nestor's own data folder and never inside the
// documents. Threads: free functions, safe anywhere.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "nestor/status.h"

namespace nestor::cli {

struct DatabaseTarget {
  std::string database;  // the folder of the database; may not exist yet
  std::string folder;  // the folder of documents, as a real path; empty when the database was named
  std::string typed;   // as the person wrote it
  bool folder_gone = false;
};

// True for a folder whose file NESTOR is a manifest (storage/folder_kind.h).
bool is_database(const std::string& path);

// The words DB and --db of a command that works on a database there is, the first of its words:
// what find_existing_target takes.
void add_target_options(CLI::App& command, std::string& typed, std::string& database_override,
                        const std::string& name = "DB");

// `typed` is a database or a folder of documents. `database_override` (--db), if not empty, is the
// database of that folder. The index of a folder that was moved is given its new place. Errors:
// kNotFound (nothing there), kInvalidArgument (a file; no home for the index).
Result<DatabaseTarget> find_target(const std::string& typed, const std::string& database_override);

// The same, and the database has to be there; the folder need not, where the database was made from
// it. Errors: also kNotFound with the command that makes it.
Result<DatabaseTarget> find_existing_target(const std::string& typed,
                                            const std::string& database_override);
// Whether `typed` is a folder that is gone, of which there is an index in the data folder.
bool is_indexed_gone_folder(const std::string& typed);

}  // namespace nestor::cli
