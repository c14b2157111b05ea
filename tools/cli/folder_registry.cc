#include "tools/cli/folder_registry.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"
#include "nestor/database.h"
#include "query/collection_attributes.h"
#include "storage/folder_kind.h"
#include "storage/folder_lock.h"

namespace nestor::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNameDigits = 32;  // of SHA-256: 128 bits keep two folders apart
constexpr std::uint64_t kMostNoteBytes = 64 << 10;

std::string indexes_folder() {
  const std::string data = data_folder();
  return data.empty() ? data : data + "/indexes";
}

std::string note_of(const std::string& database) { return database + ".json"; }

std::string text_member(const JsonValue& object, const char* name) {
  const JsonValue* const found = object.find(name);
  return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
}

void read_note(FolderIndex& index) {
  const std::string note = note_of(index.database);
  struct stat info {};
  if (::stat(note.c_str(), &info) != 0) return;
  index.used_seconds = info.st_mtim.tv_sec;
  const Result<std::string> text = read_file(note, kMostNoteBytes);
  if (!text.ok()) return;
  const Result<JsonValue> object = parse_json(text.value());
  if (!object.ok() || !object.value().is_object()) return;
  index.folder = text_member(object.value(), "folder");
  index.identity = text_member(object.value(), "identity");
}

// An index of before there were notes says itself which folder it is kept in step with.
void ask_database(FolderIndex& index) {
  const Result<Database> database = Database::open(index.database, {.read_only = true});
  if (!database.ok()) return;
  const Result<Stats> stats = database.value().stats();
  if (!stats.ok()) return;
  for (const CollectionStats& collection : stats.value().collections) {
    const auto folder = collection.attributes.find(query::kFolderAttribute);
    if (folder != collection.attributes.end()) index.folder = folder->second;
  }
  struct stat info {};
  if (::stat((index.database + "/WATERMARK").c_str(), &info) == 0) {
    index.used_seconds = info.st_mtim.tv_sec;
  }
}

bool is_index_name(const std::string& name) {
  return name.size() == kNameDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Those with a note, or all of them.
std::vector<FolderIndex> read_indexes(bool ask) {
  std::vector<FolderIndex> indexes;
  const std::string folder = indexes_folder();
  const Result<std::vector<FolderEntry>> entries = list_folder(folder);
  if (folder.empty() || !entries.ok()) return indexes;
  for (const FolderEntry& entry : entries.value()) {
    if (!entry.is_folder || !is_index_name(entry.name)) continue;
    FolderIndex index;
    index.database = folder + "/" + entry.name;
    read_note(index);
    if (index.folder.empty() && ask) ask_database(index);
    if (ask || !index.folder.empty()) indexes.push_back(std::move(index));
  }
  return indexes;
}

}  // namespace

Result<std::string> index_of_folder(const std::string& real_path) {
  const std::string folder = indexes_folder();
  if (folder.empty()) {
    return Status(
        StatusCode::kInvalidArgument,
        "there is no place for the index: neither XDG_DATA_HOME nor HOME is set; name one "
        "with --db");
  }
  return folder + "/" + sha256_hex(real_path).substr(0, kNameDigits);
}

std::string path_of_gone_folder(const std::string& typed) {
  std::error_code error;
  std::string path = fs::weakly_canonical(fs::absolute(typed, error), error).string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return error ? typed : path;
}

std::string folder_identity(const std::string& path) {
  struct statx info {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_TYPE | STATX_BTIME, &info) != 0 ||
      !S_ISDIR(info.stx_mode)) {
    return {};
  }
  std::string identity = std::to_string(info.stx_dev_major) + ":" +
                         std::to_string(info.stx_dev_minor) + ":" + std::to_string(info.stx_ino);
  if ((info.stx_mask & STATX_BTIME) != 0) {
    identity +=
        ":" + std::to_string(info.stx_btime.tv_sec) + "." + std::to_string(info.stx_btime.tv_nsec);
  }
  return identity;
}

void note_folder(const std::string& database, const std::string& real_path) {
  // Only what lies in the data folder has a note, and not a database that --db names.
  if (fs::path(database).parent_path().string() != indexes_folder()) return;
  // JSON cannot hold other names; the database itself can.
  if (find_invalid_utf8(real_path).has_value()) return;
  const nlohmann::ordered_json note = {{"folder", real_path},
                                       {"identity", folder_identity(real_path)}};
  [[maybe_unused]] const Status written = write_file_atomic(note_of(database), note.dump() + "\n");
}

void note_use(const std::string& database) {
  [[maybe_unused]] const int touched = ::utimensat(AT_FDCWD, note_of(database).c_str(), nullptr, 0);
}

std::vector<FolderIndex> list_folder_indexes() {
  std::vector<FolderIndex> indexes = read_indexes(true);
  std::sort(indexes.begin(), indexes.end(), [](const FolderIndex& a, const FolderIndex& b) {
    return std::tie(a.folder, a.database) < std::tie(b.folder, b.database);
  });
  return indexes;
}

bool adopt_moved_index(const std::string& database, const std::string& real_path) {
  const std::string identity = folder_identity(real_path);
  std::error_code error;
  if (identity.empty() || fs::exists(database, error)) return false;
  for (const FolderIndex& index : read_indexes(false)) {
    if (index.identity != identity || fs::exists(index.folder, error)) continue;
    // Held through the rename, so that no writer has it open under its old name.
    const Result<storage::FolderLock> lock = storage::FolderLock::take(index.database);
    if (!lock.ok()) continue;
    fs::rename(index.database, database, error);
    if (error) continue;
    std::error_code ignored;
    fs::remove(note_of(index.database), ignored);
    note_folder(database, real_path);
    return true;
  }
  return false;
}

Status remove_index(const FolderIndex& index) {
  const auto failed = [&](const std::error_code& error) {
    return Status(StatusCode::kIoError, "cannot remove " + index.database + ": " + error.message());
  };
  std::error_code error;
  if (storage::folder_kind(index.database) == storage::FolderKind::kDatabase) {
    NESTOR_ASSIGN_OR_RETURN(const storage::FolderLock lock,
                            storage::FolderLock::take(index.database));
    fs::remove_all(index.database, error);
  } else {
    fs::remove_all(index.database, error);
  }
  if (error) return failed(error);
  fs::remove(note_of(index.database), error);
  return error ? failed(error) : Status();
}

}  // namespace nestor::cli
