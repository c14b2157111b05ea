#include "storage/folder_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <utility>

#include "core/file.h"

namespace nestor::storage {
namespace {

// fcntl locks say who holds them and are not inherited by fork, but within one process they neither
// exclude a second holder nor survive the closing of any other descriptor of the file. This table,
// asked before the file is opened, makes up for both.
struct HeldLocks {
  std::mutex mutex;
  std::map<std::string, pid_t> holder_by_folder;
};

HeldLocks& held_locks() {
  static HeldLocks locks;
  return locks;
}

Status locked_by(const std::string& folder, pid_t pid) {
  std::string holder = pid == ::getpid() ? fmt::format("this process (pid {})", pid)
                       : pid > 0         ? fmt::format("pid {}", pid)
                                         : std::string("a process whose pid is not visible here");
  return {StatusCode::kLocked, fmt::format("{} is open for writing in {}; wait for it or close it "
                                           "there (searching goes on beside it)",
                                           folder, holder)};
}

}  // namespace

FolderLock::FolderLock(int descriptor, std::string folder_identity)
    : descriptor_(descriptor), folder_identity_(std::move(folder_identity)) {}

FolderLock::FolderLock(FolderLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      folder_identity_(std::move(other.folder_identity_)) {}

FolderLock::~FolderLock() {
  if (descriptor_ < 0) return;
  HeldLocks& held = held_locks();
  const std::lock_guard guard(held.mutex);
  const auto found = held.holder_by_folder.find(folder_identity_);
  if (found != held.holder_by_folder.end() && found->second == ::getpid()) {
    held.holder_by_folder.erase(found);
  }
  ::close(descriptor_);
}

Result<FolderLock> FolderLock::take(const std::string& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return errno_status(errno, "look at", folder);
  std::string identity = fmt::format("{}:{}", info.st_dev, info.st_ino);
  HeldLocks& held = held_locks();
  const std::lock_guard guard(held.mutex);
  const auto found = held.holder_by_folder.find(identity);
  // An entry of another pid came with a fork; what it says is the kernel's to decide.
  if (found != held.holder_by_folder.end() && found->second == ::getpid()) {
    return locked_by(folder, ::getpid());
  }
  const std::string path = folder + "/" + kLockName;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor < 0) return errno_status(errno, "open", path);
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  if (::fcntl(descriptor, F_SETLK, &request) != 0) {
    const int error = errno;
    struct flock holder = request;
    const bool known = (error == EACCES || error == EAGAIN) &&
                       ::fcntl(descriptor, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK;
    ::close(descriptor);
    if (error == EACCES || error == EAGAIN) return locked_by(folder, known ? holder.l_pid : 0);
    return errno_status(error, "lock", path);
  }
  held.holder_by_folder[identity] = ::getpid();
  return FolderLock(descriptor, std::move(identity));
}

}  // namespace nestor::storage
