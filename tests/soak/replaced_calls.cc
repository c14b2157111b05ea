// The C library's file operations as this program has them; see fault_layer.h. Each goes to the
// kernel by its system call.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <string>

#include "tests/soak/fault_meeting.h"

namespace nestor::soak {
namespace {

struct OpenFile {
  bool watched = false;
  bool folder = false;
  std::uint32_t number = 0;
  std::string path;     // relative
  std::string delayed;  // what a sabotaged log still holds back
  int delayed_writes = 0;
};

constexpr int kMostFiles = 4096;

struct Table {
  std::mutex mutex;
  std::array<OpenFile, kMostFiles> files;
  std::uint32_t next_number = 1;
};

Table& table() {
  static Table files;
  return files;
}

OpenFile* watched_file(int descriptor) {
  if (descriptor < 0 || descriptor >= kMostFiles) return nullptr;
  OpenFile& file = table().files[static_cast<std::size_t>(descriptor)];
  return file.watched ? &file : nullptr;
}

// What a call that fails says: -1 and errno, or that all went well where that is the sabotage.
long failed(int error, long pretended) {
  if (sabotaged(kIgnoreErrors)) return pretended;
  errno = error;
  return -1;
}

long kernel_write(int descriptor, const void* data, std::size_t size, off_t offset) {
  if (offset < 0) return ::syscall(SYS_write, descriptor, data, size);
  return ::syscall(SYS_pwrite64, descriptor, data, size, offset);
}

void let_go_of_delayed(int descriptor, OpenFile& file) {
  if (!file.delayed.empty()) kernel_write(descriptor, file.delayed.data(), file.delayed.size(), -1);
  file.delayed.clear();
  file.delayed_writes = 0;
}

off_t place_of_write(int descriptor, off_t offset, const OpenFile& file) {
  if (offset >= 0) return offset;
  return ::syscall(SYS_lseek, descriptor, 0, SEEK_CUR) + static_cast<off_t>(file.delayed.size());
}

// `offset` below 0: where the file stands.
ssize_t write_to(int descriptor, const void* data, std::size_t size, off_t offset) {
  if (fault_state_missing()) return kernel_write(descriptor, data, size, offset);
  const std::lock_guard lock(table().mutex);
  OpenFile* const file = watched_file(descriptor);
  if (file == nullptr) return kernel_write(descriptor, data, size, offset);
  const Verdict verdict = meet(FileOp::kWrite, file->path);
  const std::size_t taken = verdict.half && size > 1 ? size / 2 : size;
  const off_t place = place_of_write(descriptor, offset, *file);
  const std::string_view bytes(static_cast<const char*>(data), taken);
  if (verdict.error != 0) return failed(verdict.error, static_cast<long>(size));
  if (verdict.kill) {
    if (verdict.half) kernel_write(descriptor, data, taken, offset);
    die();
  }
  note(FileOp::kWrite, file->number, static_cast<std::uint64_t>(place), file->path, bytes);
  if (sabotaged(kLazyLog) && offset < 0 && file->path.ends_with(".log")) {
    file->delayed += bytes;
    if (++file->delayed_writes >= 6) let_go_of_delayed(descriptor, *file);
    return static_cast<ssize_t>(taken);
  }
  return kernel_write(descriptor, data, taken, offset);
}

long sync_file(long call, int descriptor) {
  if (fault_state_missing()) return ::syscall(call, descriptor);
  const std::lock_guard lock(table().mutex);
  OpenFile* const file = watched_file(descriptor);
  if (file == nullptr) return ::syscall(call, descriptor);
  const FileOp op = file->folder ? FileOp::kSyncFolder : FileOp::kSync;
  const Verdict verdict = meet(op, file->path);
  if (verdict.kill) die();
  if (verdict.error != 0) return failed(verdict.error, 0);
  if (!sabotaged(file->folder ? kSkipFolderSync : kSkipFsync))
    note(op, file->number, 0, file->path, "");
  return 0;  // of no use without a power cut, and these are made from the notes
}

int open_file(const char* path, int flags, mode_t mode) {
  std::string relative;
  if (fault_state_missing() || !is_watched(path, relative)) {
    const int descriptor = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
    if (!fault_state_missing() && descriptor >= 0 && descriptor < kMostFiles) {
      const std::lock_guard lock(table().mutex);
      table().files[static_cast<std::size_t>(descriptor)].watched = false;
    }
    return descriptor;
  }
  const std::lock_guard lock(table().mutex);
  struct stat info {};
  const bool there = ::stat(path, &info) == 0;
  const bool makes = (flags & O_CREAT) != 0 && !there;
  const bool cuts = there && (flags & O_TRUNC) != 0 && info.st_size > 0;
  const Verdict verdict = meet(makes  ? FileOp::kCreate
                               : cuts ? FileOp::kTruncate
                                      : FileOp::kOpen,
                               relative);
  if (verdict.kill) die();
  // Whoever gets no descriptor cannot go on as if it had one.
  if (verdict.error != 0) {
    errno = verdict.error;
    return -1;
  }
  const int descriptor = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (descriptor < 0 || descriptor >= kMostFiles) return descriptor;
  OpenFile& file = table().files[static_cast<std::size_t>(descriptor)];
  file = OpenFile();
  file.watched = true;
  file.folder = there && S_ISDIR(info.st_mode);
  file.number = table().next_number++;
  file.path = relative;
  note(makes ? FileOp::kCreate : FileOp::kOpen, file.number, 0, relative, "");
  if (cuts) note(FileOp::kTruncate, file.number, 0, relative, "");
  return descriptor;
}

// An operation on names: met, noted, done.
template <typename Kernel>
int change_name(FileOp op, const char* path, const char* other, const Kernel& kernel) {
  std::string relative;
  std::string relative_other;
  if (fault_state_missing() || !is_watched(path, relative)) return static_cast<int>(kernel());
  const std::lock_guard lock(table().mutex);
  if (other != nullptr) is_watched(other, relative_other);
  const Verdict verdict = meet(op, other != nullptr ? relative_other : relative);
  if (verdict.kill) die();
  if (verdict.error != 0) return static_cast<int>(failed(verdict.error, 0));
  const long done = kernel();
  if (done == 0) note(op, 0, 0, relative, relative_other);
  return static_cast<int>(done);
}

int truncate_file(int descriptor, off_t size) {
  if (fault_state_missing()) return static_cast<int>(::syscall(SYS_ftruncate, descriptor, size));
  const std::lock_guard lock(table().mutex);
  if (OpenFile* const file = watched_file(descriptor); file != nullptr) {
    const Verdict verdict = meet(FileOp::kTruncate, file->path);
    if (verdict.kill) die();
    if (verdict.error != 0) return static_cast<int>(failed(verdict.error, 0));
    let_go_of_delayed(descriptor, *file);
    note(FileOp::kTruncate, file->number, static_cast<std::uint64_t>(size), file->path, "");
  }
  return static_cast<int>(::syscall(SYS_ftruncate, descriptor, size));
}

ssize_t read_from(int descriptor, void* out, std::size_t size, off_t offset) {
  if (!fault_state_missing()) {
    const std::lock_guard lock(table().mutex);
    if (OpenFile* const file = watched_file(descriptor); file != nullptr) {
      const Verdict verdict = meet(FileOp::kRead, file->path);
      if (verdict.kill) die();
      if (verdict.error != 0 && !sabotaged(kIgnoreErrors)) {
        errno = verdict.error;
        return -1;
      }
    }
  }
  return ::syscall(SYS_pread64, descriptor, out, size, offset);
}

int close_file(int descriptor) {
  if (!fault_state_missing()) {
    const std::lock_guard lock(table().mutex);
    if (OpenFile* const file = watched_file(descriptor); file != nullptr) {
      let_go_of_delayed(descriptor, *file);
      *file = OpenFile();
    }
  }
  return static_cast<int>(::syscall(SYS_close, descriptor));
}

mode_t mode_of_open(int flags, va_list arguments) {
  const bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return has_mode ? static_cast<mode_t>(va_arg(arguments, unsigned)) : 0;
}

}  // namespace
}  // namespace nestor::soak

#define NESTOR_REPLACES extern "C" __attribute__((visibility("default")))

using namespace nestor::soak;

NESTOR_REPLACES int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = mode_of_open(flags, arguments);
  va_end(arguments);
  return open_file(path, flags, mode);
}

NESTOR_REPLACES ssize_t write(int descriptor, const void* data, std::size_t size) {
  return write_to(descriptor, data, size, -1);
}
NESTOR_REPLACES ssize_t pwrite(int descriptor, const void* data, std::size_t size, off_t offset) {
  return write_to(descriptor, data, size, offset);
}
NESTOR_REPLACES ssize_t pread(int descriptor, void* out, std::size_t size, off_t offset) {
  return read_from(descriptor, out, size, offset);
}
NESTOR_REPLACES int fsync(int descriptor) {
  return static_cast<int>(sync_file(SYS_fsync, descriptor));
}
NESTOR_REPLACES int fdatasync(int descriptor) {
  return static_cast<int>(sync_file(SYS_fdatasync, descriptor));
}
// Only a hint, and no promise that anything is on disk (man 2 sync_file_range).
NESTOR_REPLACES int sync_file_range(int, off64_t, off64_t, unsigned) { return 0; }
// RocksDB sets 35 MB aside for a log, which a file system in memory really takes; bytes are not
// changed by it.
NESTOR_REPLACES int fallocate(int, int, off_t, off_t) { return 0; }
NESTOR_REPLACES int ftruncate(int descriptor, off_t size) noexcept {
  return truncate_file(descriptor, size);
}
NESTOR_REPLACES int close(int descriptor) { return close_file(descriptor); }
NESTOR_REPLACES int rename(const char* from, const char* to) noexcept {
  return change_name(FileOp::kRename, from, to,
                     [&] { return ::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); });
}
NESTOR_REPLACES int unlink(const char* path) noexcept {
  return change_name(FileOp::kUnlink, path, nullptr,
                     [&] { return ::syscall(SYS_unlinkat, AT_FDCWD, path, 0); });
}
NESTOR_REPLACES int mkdir(const char* path, mode_t mode) noexcept {
  return change_name(FileOp::kMakeFolder, path, nullptr,
                     [&] { return ::syscall(SYS_mkdirat, AT_FDCWD, path, mode); });
}
NESTOR_REPLACES int remove(const char* path) noexcept {
  struct stat info {};
  if (::lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
    return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
  }
  return ::unlink(path);
}
// After an error RocksDB's own threads wait a second, so as not to try again at once; that would be
// nearly all of the time of the harnesses.
NESTOR_REPLACES int usleep(useconds_t microseconds) {
  constexpr useconds_t kSecond = 1'000'000;
  const useconds_t wait = microseconds < kSecond ? microseconds : 1'000;
  const struct timespec time { .tv_sec = 0, .tv_nsec = static_cast<long>(wait) * 1'000 };
  return static_cast<int>(::syscall(SYS_nanosleep, &time, nullptr));
}
NESTOR_REPLACES int fcntl(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  if (!fault_state_missing() && command == F_SETLK && sabotaged(kSkipLock)) return 0;
  return static_cast<int>(::syscall(SYS_fcntl, descriptor, command, argument));
}
