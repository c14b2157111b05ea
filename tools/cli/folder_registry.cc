#include "tools/cli/folder_registry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
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
constexpr const char* kRemovedSuffix = ".removed";  // of an index that is being removed

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

// Whether a file of the index is in the folder.
bool has_a_file_of(const std::string& path, const std::string& folder) {
  const Result<Database> database = Database::open(path, {.read_only = true});
  if (!database.ok()) return false;
  const Result<Stats> stats = database.value().stats();
  if (!stats.ok()) return false;
  std::error_code error;
  for (const CollectionStats& collection : stats.value().collections) {
    for (std::string after;;) {
      const auto keys = database.value().list_keys(collection.name, after);
      if (!keys.ok() || keys.value().empty()) break;
      after = keys.value().back();
      for (const std::string& key : keys.value()) {
        if (fs::is_regular_file(fs::path(folder) / fs::path(key).relative_path(), error))
          return true;
      }
    }
  }
  return false;
}

// The note is there before the index is: whoever is killed in between leaves a note too many.
bool move_index(const std::string& from, const std::string& to, const std::string& real_path) {
  // Held through the rename, so that no writer has it open under its old name.
  const Result<storage::FolderLock> lock = storage::FolderLock::take(from);
  if (!lock.ok()) return false;
  note_folder(to, real_path);
  std::error_code error;
  fs::rename(from, to, error);
  std::error_code ignored;
  fs::remove(note_of(error ? to : from), ignored);
  return !error;
}

// The collections say which folder they are of. A failure is none: the next run of `index` does it.
void rebind(const std::string& path, const std::string& from, const std::string& to) {
  Result<Database> database = Database::open(path, {.create_if_missing = false});
  if (!database.ok()) return;
  const Result<Stats> stats = database.value().stats();
  if (!stats.ok()) return;
  for (const CollectionStats& collection : stats.value().collections) {
    const auto folder = collection.attributes.find(query::kFolderAttribute);
    if (folder == collection.attributes.end() || folder->second != from) continue;
    [[maybe_unused]] const Status bound =
        database.value().set_attribute(collection.name, query::kFolderAttribute, to);
  }
  [[maybe_unused]] const Status closed = database.value().close();
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
  // Roots have the same inode on every disk of a kind, and the next disk the same device.
  const bool root = info.stx_ino <= 2 || (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  const bool has_time = (info.stx_mask & STATX_BTIME) != 0 && info.stx_btime.tv_sec > 0;
  if (root || !has_time) return {};
  return fmt::format("{}:{}:{}:{}.{}", info.stx_dev_major, info.stx_dev_minor, info.stx_ino,
                     info.stx_btime.tv_sec, info.stx_btime.tv_nsec);
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
    if (!has_a_file_of(index.database, real_path)) continue;
    if (!move_index(index.database, database, real_path)) continue;
    rebind(database, index.folder, real_path);
    return true;
  }
  return false;
}

Status remove_index(const FolderIndex& index) {
  const auto failed = [&](const std::error_code& error) {
    return Status(StatusCode::kIoError, "cannot remove " + index.database + ": " + error.message());
  };
  std::error_code error;
  std::optional<storage::FolderLock> held;
  if (storage::folder_kind(index.database) == storage::FolderKind::kDatabase) {
    auto taken = storage::FolderLock::take(index.database);
    NESTOR_RETURN_IF_ERROR(taken.status());
    held.emplace(std::move(taken).value());
  }
  const std::string away = index.database + kRemovedSuffix;
  fs::remove_all(away, error);
  if (!error) fs::rename(index.database, away, error);
  if (error) return failed(error);
  fs::remove(note_of(index.database), error);
  if (!error) fs::remove_all(away, error);
  return error ? failed(error) : Status();
}

void remove_leftovers() {
  const std::string folder = indexes_folder();
  const Result<std::vector<FolderEntry>> entries = list_folder(folder);
  if (folder.empty() || !entries.ok()) return;
  std::error_code ignored;
  for (const FolderEntry& entry : entries.value()) {
    if (!entry.name.ends_with(kRemovedSuffix)) continue;
    fs::remove_all(folder + "/" + entry.name, ignored);
  }
}

}  // namespace nestor::cli
