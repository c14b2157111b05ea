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
  if (!database_override.empty()) return DatabaseTarget{database_override, real, typed};
  NESTOR_ASSIGN_OR_RETURN(std::string database, index_of_folder(real));
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

}  // namespace nestor::cli
