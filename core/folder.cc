#include "core/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace nestor {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

int remove_entry(const char* path, const struct stat*, int kind, struct FTW*) {
  static_cast<void>(kind == FTW_DP ? ::rmdir(path) : ::unlink(path));
  return 0;  // whatever came of it, go on
}

}  // namespace

Result<std::vector<FolderEntry>> list_folder(const std::string& path) {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (folder == nullptr) {
    return Status(errno == ENOENT ? StatusCode::kNotFound : StatusCode::kIoError,
                  fmt::format("cannot list {}: {}", path, std::strerror(errno)));
  }
  std::vector<FolderEntry> entries;
  errno = 0;
  while (const dirent* const entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    struct stat facts {};
    if (name != "." && name != ".." &&
        ::fstatat(::dirfd(folder.get()), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
      entries.push_back({.name = std::string(name),
                         .is_file = S_ISREG(facts.st_mode),
                         .is_folder = S_ISDIR(facts.st_mode),
                         .bytes = S_ISREG(facts.st_mode) ? facts.st_size : 0});
    }
    errno = 0;
  }
  if (errno != 0) {
    return Status(StatusCode::kIoError,
                  fmt::format("cannot list {}: {}", path, std::strerror(errno)));
  }
  std::sort(entries.begin(), entries.end(),
            [](const FolderEntry& a, const FolderEntry& b) { return a.name < b.name; });
  return entries;
}

std::vector<FolderEntry> list_files_below(const std::string& path) {
  std::vector<FolderEntry> files;
  std::vector<std::string> folders = {""};
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    auto entries = list_folder(path + "/" + folder);
    if (!entries.ok()) continue;
    for (FolderEntry& entry : entries.value()) {
      entry.name = folder + entry.name;
      if (entry.is_folder) folders.push_back(entry.name + "/");
      if (entry.is_file) files.push_back(std::move(entry));
    }
  }
  return files;
}

void remove_folder_quietly(const std::string& path) noexcept {
  constexpr int kOpenFolders = 16;
  static_cast<void>(::nftw(path.c_str(), remove_entry, kOpenFolders, FTW_DEPTH | FTW_PHYS));
}

}  // namespace nestor
