#include "tools/cli/database_target.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "core/file.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kNameDigits = 32;  // of SHA-256: 128 bits keep two folders apart

Result<std::string> index_of_folder(const std::string& real_path) {
  const std::string data = data_folder();
  if (data.empty()) {
    return Status(
        StatusCode::kInvalidArgument,
        "there is no place for the index: neither XDG_DATA_HOME nor HOME is set; name one "
        "with --db");
  }
  return data + "/indexes/" + sha256_hex(real_path).substr(0, kNameDigits);
}

// What is left of a database whose manifest is gone must not pass for a folder of documents.
Status check_remains(const std::string& path) {
  for (const char* remains : {"WATERMARK", "rocksdb/CURRENT", "rocksdb/IDENTITY"}) {
    if (!is_regular_file(path + "/" + remains)) continue;
    return {StatusCode::kDataLoss, fmt::format("{} holds {} of a database but no file NESTOR: it "
                                               "is damaged. Restore it from a copy, or "
                                               "make it anew from the documents in another place",
                                               quote_for_message(path, 512), remains)};
  }
  return {};
}

}  // namespace

bool is_database(const std::string& path) { return is_regular_file(path + "/NESTOR"); }

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
  if (!is_database(database)) NESTOR_RETURN_IF_ERROR(check_remains(database));
  return DatabaseTarget{std::move(database), real, typed};
}

Result<DatabaseTarget> find_existing_target(const std::string& typed,
                                            const std::string& database_override) {
  NESTOR_ASSIGN_OR_RETURN(DatabaseTarget target, find_target(typed, database_override));
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

void add_target_options(CLI::App& command, std::string& typed, std::string& database_override,
                        const std::string& name) {
  command.add_option(name, typed, "A database, or a folder that was indexed")->required();
  command.add_option("--db", database_override, "The database of the folder, if it was named");
}

}  // namespace nestor::cli
