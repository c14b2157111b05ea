#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "core/macros.h"
#include "core/text.h"

namespace nestor {
namespace {

// Closes on the way out of a scope; close() itself is asked for its error where that matters.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// File names are bytes of strangers: ill-formed UTF-8 and escape sequences stay out of messages.
std::string shown(const std::string& path) { return escape_for_terminal(path, false); }

Status not_regular(const std::string& path) {
  return {StatusCode::kInvalidArgument, shown(path) + " is not a regular file"};
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// A new file beside `path`; `temporary` becomes its name. Not mkostemp: that makes a file for the
// owner alone, and the mode a person's umask asks for cannot be read without changing it for every
// thread. Returns -1 with errno set on failure.
int create_beside(const std::string& path, std::string& temporary) {
  static std::atomic<std::uint64_t> counter{0};
  constexpr int kMostTries = 1000;  // a dead process with our id may have left some
  for (int i = 0; i < kMostTries; ++i) {
    temporary = fmt::format("{}.{}-{}.tmp", path, ::getpid(), counter.fetch_add(1));
    const int descriptor =
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor >= 0 || errno != EEXIST) return descriptor;
  }
  return -1;
}

}  // namespace

Status errno_status(int error, const std::string& action, const std::string& path) {
  StatusCode code = StatusCode::kIoError;
  if (error == ENOSPC || error == EDQUOT) code = StatusCode::kNoSpace;
  if (error == ENOENT || error == ENOTDIR) code = StatusCode::kNotFound;
  return {code, fmt::format("cannot {} {}: {}", action, shown(path),
                            std::generic_category().message(error))};
}

Result<RandomAccessFile> RandomAccessFile::open(const std::string& path) {
  // Asked before opening, because opening alone does something to a FIFO's writer or a device; and
  // again after it, because the name may have changed hands. For that moment O_NONBLOCK keeps a
  // FIFO from making us wait; regular files do not know it.
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) return not_regular(path);
  Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (descriptor.get() < 0) return errno_status(errno, "open", path);
  if (::fstat(descriptor.get(), &info) != 0) return errno_status(errno, "look at", path);
  if (!S_ISREG(info.st_mode)) return not_regular(path);
  RandomAccessFile file;
  file.descriptor_ = descriptor.release();
  file.bytes_ = static_cast<std::uint64_t>(info.st_size);
  file.modified_nanoseconds_ =
      static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
  file.path_ = path;
  return file;
}

RandomAccessFile::RandomAccessFile(RandomAccessFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      bytes_(other.bytes_),
      modified_nanoseconds_(other.modified_nanoseconds_),
      path_(std::move(other.path_)) {}

RandomAccessFile& RandomAccessFile::operator=(RandomAccessFile&& other) noexcept {
  if (this != &other) {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = std::exchange(other.descriptor_, -1);
    bytes_ = other.bytes_;
    modified_nanoseconds_ = other.modified_nanoseconds_;
    path_ = std::move(other.path_);
  }
  return *this;
}

RandomAccessFile::~RandomAccessFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Status RandomAccessFile::read(std::uint64_t offset, std::span<char> out) const {
  // An offset may come from damaged bytes: beyond off_t it would wrap around.
  constexpr auto kMostOffset = static_cast<std::uint64_t>(std::numeric_limits<off_t>::max());
  if (offset > kMostOffset || out.size() > kMostOffset - offset) {
    return {StatusCode::kDataLoss, fmt::format("{} has {} bytes, {} from byte {} were asked for",
                                               shown(path_), bytes_, out.size(), offset)};
  }
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t count = ::pread(descriptor_, out.data() + done, out.size() - done,
                                  static_cast<off_t>(offset + done));
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno_status(errno, "read", path_);
    }
    if (count == 0) {
      return {StatusCode::kDataLoss,
              fmt::format("{} ends at byte {}, expected at least {}: it was cut", shown(path_),
                          offset + done, offset + out.size())};
    }
    done += static_cast<std::size_t>(count);
  }
  return {};
}

bool RandomAccessFile::unchanged() const {
  struct stat info {};
  return ::fstat(descriptor_, &info) == 0 && static_cast<std::uint64_t>(info.st_size) == bytes_ &&
         static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec ==
             modified_nanoseconds_;
}

Result<std::string> read_file(const std::string& path, std::uint64_t most_bytes) {
  NESTOR_ASSIGN_OR_RETURN(const RandomAccessFile file, RandomAccessFile::open(path));
  if (file.bytes() > most_bytes) {
    return Status(StatusCode::kInvalidArgument, fmt::format("{} has {} bytes, at most {} are read",
                                                            shown(path), file.bytes(), most_bytes));
  }
  std::string bytes(file.bytes(), '\0');
  NESTOR_RETURN_IF_ERROR(file.read(0, bytes));
  return bytes;
}

Result<FileReplacement> FileReplacement::create(const std::string& path) {
  std::string temporary;
  const int descriptor = create_beside(path, temporary);
  if (descriptor < 0) return errno_status(errno, "create a temporary file for", path);
  return FileReplacement(descriptor, path, std::move(temporary));
}

FileReplacement::FileReplacement(FileReplacement&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})) {}

FileReplacement::~FileReplacement() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status FileReplacement::write(std::uint64_t offset, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno_status(errno, "write", temporary_);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status FileReplacement::commit() {
  if (::fsync(descriptor_) != 0) return errno_status(errno, "sync", temporary_);
  if (::close(std::exchange(descriptor_, -1)) != 0) return errno_status(errno, "close", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return errno_status(errno, "replace", path_);
  }
  temporary_.clear();
  return sync_folder(parent_of(path_));
}

Status write_file_atomic(const std::string& path, std::string_view bytes) {
  NESTOR_ASSIGN_OR_RETURN(FileReplacement file, FileReplacement::create(path));
  NESTOR_RETURN_IF_ERROR(file.write(0, bytes));
  return file.commit();
}

Status sync_folder(const std::string& path) {
  const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (descriptor.get() < 0) return errno_status(errno, "open folder", path);
  if (::fsync(descriptor.get()) != 0) return errno_status(errno, "sync folder", path);
  return {};
}

Status make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    const bool full = error.value() == ENOSPC || error.value() == EDQUOT;
    return {full ? StatusCode::kNoSpace : StatusCode::kIoError,
            fmt::format("cannot make folder {}: {}", shown(path), error.message())};
  }
  return {};
}

bool is_regular_file(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool is_folder(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

namespace {

std::string xdg_folder(const char* variable, const char* below_home) {
  // The XDG specification: a relative path in these variables is to be ignored.
  if (std::string folder = environment(variable); folder.starts_with('/'))
    return folder + "/nestor";
  if (std::string home = environment("HOME"); !home.empty()) return home + below_home + "/nestor";
  return {};
}

}  // namespace

std::string data_folder() { return xdg_folder("XDG_DATA_HOME", "/.local/share"); }
std::string cache_folder() { return xdg_folder("XDG_CACHE_HOME", "/.cache"); }

}  // namespace nestor
