#include "storage/copy_staging.h"

#include <errno.h>
#include <fmt/format.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/folder.h"
#include "core/macros.h"
#include "storage/free_space.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Status taken(const std::string& to) {
  return {StatusCode::kAlreadyExists, to + " is there already; name a folder that is new or empty"};
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

CopyStaging::CopyStaging(std::string to, std::string folder)
    : to_(std::move(to)), folder_(std::move(folder)) {}

CopyStaging::CopyStaging(CopyStaging&& other) noexcept
    : to_(std::move(other.to_)), folder_(std::exchange(other.folder_, {})) {}

CopyStaging::~CopyStaging() {
  // What cannot be removed stays behind under its temporary name.
  if (!folder_.empty()) remove_folder_quietly(folder_);
}

Result<CopyStaging> CopyStaging::begin(const std::string& to) {
  if (to.empty()) return Status(StatusCode::kInvalidArgument, "the copy needs a path");
  const std::string wanted = without_slashes(to);
  std::error_code error;
  if (fs::exists(fs::symlink_status(wanted, error)) &&
      !(fs::is_directory(wanted, error) && fs::is_empty(wanted, error))) {
    return taken(wanted);
  }
  CopyStaging staging(wanted, fmt::format("{}.tmp-{}", wanted, ::getpid()));
  NESTOR_RETURN_IF_ERROR(make_folders(parent_of(wanted)));
  NESTOR_RETURN_IF_ERROR(staging.restart());
  return staging;
}

Status CopyStaging::restart() const {
  std::error_code error;
  fs::remove_all(folder_, error);
  if (error) {
    return {StatusCode::kIoError, fmt::format("cannot empty {}: {}", folder_, error.message())};
  }
  return make_folders(folder_);
}

Status CopyStaging::commit() {
  NESTOR_RETURN_IF_ERROR(sync_folder(folder_));
  if (::rename(folder_.c_str(), to_.c_str()) != 0) {
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) return taken(to_);
    return errno_status(errno, "rename " + folder_ + " to", to_);
  }
  folder_.clear();
  return sync_folder(parent_of(to_));
}

Status copy_file(const RandomAccessFile& source, const std::string& to) {
  constexpr std::uint64_t kBlock = std::uint64_t{1} << 20;
  NESTOR_ASSIGN_OR_RETURN(FileReplacement file, FileReplacement::create(to));
  std::string block;
  for (std::uint64_t at = 0; at < source.bytes(); at += kBlock) {
    block.resize(std::min(kBlock, source.bytes() - at));
    NESTOR_RETURN_IF_ERROR(source.read(at, block));
    NESTOR_RETURN_IF_ERROR(file.write(at, block));
  }
  return file.commit();
}

Status check_room_for(const std::string& folder, std::int64_t bytes) {
  const std::int64_t free = free_bytes_of_file_system(folder);
  if (free < 0 || free - kReserveBytes >= bytes) return {};
  return {StatusCode::kNoSpace,
          fmt::format("{} has {} bytes free, the copy needs {} and {} to spare; make room, or "
                      "choose another place",
                      folder, free, bytes, kReserveBytes)};
}

}  // namespace nestor::storage
