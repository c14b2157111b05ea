#include "query/folder_walk.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/text_source.h"
#include "query/input_check.h"
#include "storage/folder_kind.h"

namespace nestor::query {
namespace {

// Names that save the reading; everything else is judged by its content.
constexpr std::array<std::string_view, 68> kBinaryEndings = {
    "7z",   "a",    "aac",    "avi",  "avif",  "bin",  "bmp", "bz2",  "class", "db",
    "deb",  "dll",  "doc",    "docx", "dylib", "egg",  "elf", "eot",  "epub",  "exe",
    "flac", "gguf", "gif",    "gz",   "heic",  "ico",  "iso", "jar",  "jpeg",  "jpg",
    "lz4",  "m4a",  "mkv",    "mov",  "mp3",   "mp4",  "npy", "npz",  "o",     "odp",
    "ods",  "odt",  "ogg",    "otf",  "pdf",   "png",  "ppt", "pptx", "pyc",   "rar",
    "rpm",  "so",   "sqlite", "tar",  "tgz",   "tiff", "ttf", "wav",  "webm",  "webp",
    "whl",  "woff", "woff2",  "xls",  "xlsx",  "xz",   "zip", "zst",
};
// Text whatever is wrong with a byte of it: that is repaired and counted.
constexpr std::array<std::string_view, 8> kTextEndings = {"adoc", "markdown", "md",   "mdx",
                                                          "org",  "rst",      "text", "txt"};
constexpr double kMostStrangeShare = 0.1;

template <std::size_t kCount>
bool has_ending(std::string_view name, const std::array<std::string_view, kCount>& endings) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return false;
  std::string ending(name.substr(dot + 1));
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

Result<std::vector<std::string>> sorted_names(const std::string& path) {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (folder == nullptr) return errno_status(errno, "list folder", path);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return errno_status(errno, "list folder", path);
  std::sort(names.begin(), names.end());
  return names;
}

std::string cause(int error) { return std::generic_category().message(error); }

class Walk {
 public:
  Walk(const std::string& folder, const WalkOptions& options) : root_(folder), options_(options) {
    struct stat info {};
    if (!options.database_path.empty() && ::stat(options.database_path.c_str(), &info) == 0) {
      database_device_ = info.st_dev;
      database_inode_ = info.st_ino;
      has_database_ = true;
    }
  }

  Result<FolderListing> run() {
    NESTOR_ASSIGN_OR_RETURN(const std::vector<std::string> names, sorted_names(root_));
    push("", names);
    // A stack of its own: how deep a stranger nests his folders is not ours to trust.
    while (!pending_.empty()) {
      if (options_.stop.stop_requested()) {
        return Status(StatusCode::kCancelled, "listing the folder was stopped");
      }
      const std::string path = std::move(pending_.back());
      pending_.pop_back();
      visit(path);
    }
    return std::move(listing_);
  }

 private:
  // In reverse, so that the first name is taken from the stack first.
  void push(const std::string& parent, const std::vector<std::string>& names) {
    for (auto name = names.rbegin(); name != names.rend(); ++name) {
      pending_.push_back(parent.empty() ? *name : parent + "/" + *name);
    }
  }

  void skip(const std::string& path, SkipReason reason, std::string detail, bool folder) {
    listing_.skipped.push_back({path, reason, std::move(detail), folder});
  }

  void visit(const std::string& path) {
    const std::string full = root_ + "/" + path;
    struct stat info {};
    if (::lstat(full.c_str(), &info) != 0) {
      return skip(path, SkipReason::kUnreadable, cause(errno), false);
    }
    const bool folder = S_ISDIR(info.st_mode);
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    if (name.starts_with('.')) return skip(path, SkipReason::kHidden, "", folder);
    if (S_ISLNK(info.st_mode)) return skip(path, SkipReason::kSymbolicLink, "", false);
    if (find_invalid_utf8(path).has_value()) {
      return skip(path, SkipReason::kBadName, "not UTF-8", folder);
    }
    if (folder) return visit_folder(path, full, info);
    if (!S_ISREG(info.st_mode))
      return skip(path, SkipReason::kSpecial, kind_of(info.st_mode), false);
    visit_file(path, info.st_size);
  }

  void visit_folder(const std::string& path, const std::string& full, const struct stat& info) {
    const bool is_target =
        has_database_ && info.st_dev == database_device_ && info.st_ino == database_inode_;
    if (is_target || storage::folder_kind(full) != storage::FolderKind::kOther) {
      return skip(path, SkipReason::kDatabase, "", true);
    }
    const Result<std::vector<std::string>> names = sorted_names(full);
    if (!names.ok()) return skip(path, SkipReason::kUnreadable, names.status().message(), true);
    push(path, names.value());
  }

  void visit_file(const std::string& path, std::int64_t bytes) {
    if (path.size() > kMostKeyBytes) {
      return skip(
          path, SkipReason::kBadName,
          fmt::format("the path has {} bytes, a key at most {}", path.size(), kMostKeyBytes),
          false);
    }
    if (has_ending(path, kBinaryEndings)) return skip(path, SkipReason::kBinaryName, "", false);
    if (bytes > options_.most_file_bytes) {
      return skip(path, SkipReason::kTooLarge,
                  fmt::format("{} bytes, at most {}", with_thousands(bytes),
                              with_thousands(options_.most_file_bytes)),
                  false);
    }
    listing_.files.push_back({path, bytes});
  }

  static const char* kind_of(mode_t mode) {
    if (S_ISFIFO(mode)) return "FIFO";
    if (S_ISSOCK(mode)) return "socket";
    return "device";
  }

  std::string root_;
  const WalkOptions& options_;
  bool has_database_ = false;
  dev_t database_device_ = 0;
  ino_t database_inode_ = 0;
  std::vector<std::string> pending_;
  FolderListing listing_;
};

}  // namespace

const char* skip_reason_name(SkipReason reason) {
  switch (reason) {
    case SkipReason::kHidden:
      return "hidden";
    case SkipReason::kSymbolicLink:
      return "symbolic link";
    case SkipReason::kSpecial:
      return "not a regular file";
    case SkipReason::kDatabase:
      return "Nestor database";
    case SkipReason::kBinaryName:
      return "not text by its name";
    case SkipReason::kBinary:
      return "not text by its content";
    case SkipReason::kEmpty:
      return "empty";
    case SkipReason::kTooLarge:
      return "too large";
    case SkipReason::kUnreadable:
      return "unreadable";
    case SkipReason::kBadName:
      return "name not usable";
    case SkipReason::kChanged:
      return "changed while it was read";
  }
  return "skipped";
}

Result<FolderListing> walk_folder(const std::string& folder, const WalkOptions& options) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return errno_status(errno, "look into", folder);
  if (!S_ISDIR(info.st_mode)) {
    return Status(StatusCode::kInvalidArgument, folder + " is not a folder");
  }
  return Walk(folder, options).run();
}

bool looks_like_text(std::string_view name, std::string_view head) {
  if (head.empty()) return true;
  if (encoding_of(head) != SourceMap::Encoding::kUtf8) {
    // Whole characters of every encoding there is.
    const DecodedText decoded = decode_text(head.substr(0, head.size() / 4 * 4));
    const bool has_words = decoded.text.find_first_of(" \n\r\t") != std::string::npos ||
                           has_ending(name, kTextEndings);
    return has_words && decoded.replaced_count <= 1 && looks_like_text(name, decoded.text);
  }
  if (head.find('\0') != head.npos) return false;
  if (has_ending(name, kTextEndings)) return true;
  const auto is_strange = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 && std::strchr("\t\n\v\f\r\b\x1b", c) == nullptr;
  };
  const auto controls = std::count_if(head.begin(), head.end(), is_strange);
  const std::int64_t damage = replace_invalid_utf8(head).replaced_count;
  return static_cast<double>(controls + damage) <=
         kMostStrangeShare * static_cast<double>(head.size());
}

}  // namespace nestor::query
