#include "tools/cli/database_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "nestor/database.h"
#include "query/collection_attributes.h"
#include "storage/folder_kind.h"
#include "tools/cli/folder_registry.h"

namespace nestor::cli {
namespace {

// What is left of a database whose manifest is gone must not pass for a folder of documents.
Status check_remains(const std::string& path) {
  return storage::folder_kind(path) == storage::FolderKind::kRemains ? storage::remains_status(path)
                                                                     : Status();
}

// Whether a collection of the database was made from the folder.
bool is_made_from(const std::string& path, const std::string& folder) {
  const Result<Database> database = Database::open(path, {.read_only = true});
  if (!database.ok()) return false;
  const Result<Stats> stats = database.value().stats();
  if (!stats.ok()) return false;
  const std::vector<CollectionStats>& collections = stats.value().collections;
  return std::any_of(collections.begin(), collections.end(), [&](const CollectionStats& of) {
    const auto made_from = of.attributes.find(query::kFolderAttribute);
    return made_from != of.attributes.end() && made_from->second == folder;
  });
}

}  // namespace

bool is_database(const std::string& path) {
  return storage::folder_kind(path) == storage::FolderKind::kDatabase;
}

Result<DatabaseTarget> find_target(const std::string& typed, const std::string& database_override) {
  if (is_database(typed)) {
    if (!database_override.empty()) {
      return Status(StatusCode::kInvalidArgument,
                    fmt::format("{} is a database itself, so --db {} has no use; --db goes with a "
                                "folder of documents",
                                quote_for_message(typed), quote_for_message(database_override)));
    }
    return DatabaseTarget{typed, "", typed};
  }
  NESTOR_RETURN_IF_ERROR(check_remains(typed));
  if (typed.empty()) {
    return Status(StatusCode::kInvalidArgument, "the path of the folder or database is empty");
  }
  std::error_code error;
  const std::string real = std::filesystem::canonical(typed, error).string();
  if (error) {
    return Status(StatusCode::kNotFound,
                  fmt::format("there is no folder or database {}: {}",
                              quote_for_message(typed, 512), error.message()));
  }
  if (!is_folder(real)) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{} is a file; a folder of documents or a database was expected",
                              quote_for_message(typed, 512)));
  }
  if (!database_override.empty()) {
    if (!is_database(database_override)) NESTOR_RETURN_IF_ERROR(check_remains(database_override));
    return DatabaseTarget{database_override, real, typed};
  }
  NESTOR_ASSIGN_OR_RETURN(std::string database, index_of_folder(real));
  if (!is_database(database) && !adopt_moved_index(database, real)) {
    NESTOR_RETURN_IF_ERROR(check_remains(database));
  }
  note_use(database);
  return DatabaseTarget{std::move(database), real, typed};
}

Result<DatabaseTarget> find_existing_target(const std::string& typed,
                                            const std::string& database_override) {
  Result<DatabaseTarget> found = find_target(typed, database_override);
  if (found.status().code() == StatusCode::kNotFound) {
    // A folder that is not there now, of a disk that is not mounted: its index still answers.
    const std::string gone = path_of_gone_folder(typed);
    const Result<std::string> index = index_of_folder(gone);
    if (database_override.empty() && index.ok() && is_database(index.value())) {
      return DatabaseTarget{index.value(), gone, typed, true};
    }
    if (is_database(database_override) && is_made_from(database_override, gone)) {
      return DatabaseTarget{database_override, gone, typed, true};
    }
  }
  NESTOR_ASSIGN_OR_RETURN(DatabaseTarget target, std::move(found));
  if (!is_database(target.database)) {
    return Status(
        StatusCode::kNotFound,
        fmt::format("{} is no database, and as a folder of documents it has no index yet. "
                    "To make one: nestor index {}{}",
                    quote_for_message(typed, 512), escape_for_terminal(typed, false),
                    database_override.empty()
                        ? ""
                        : " --db " + escape_for_terminal(database_override, false)));
  }
  return target;
}

bool is_indexed_gone_folder(const std::string& typed) {
  std::error_code error;
  if (typed.empty() || std::filesystem::exists(typed, error)) return false;
  const Result<std::string> index = index_of_folder(path_of_gone_folder(typed));
  return index.ok() && is_database(index.value());
}

void add_target_options(CLI::App& command, std::string& typed, std::string& database_override,
                        const std::string& name) {
  command.add_option(name, typed, "A database, or a folder that was indexed")->required();
  command.add_option("--db", database_override, "The database of the folder, if it was named");
}

}  // namespace nestor::cli
