// Files as a database needs them: only regular ones are opened (never a FIFO or a device, which
// would hang), sizes are capped, writes are atomic (temporary name, fsync, rename, fsync of the
// folder). Threads: functions are safe on different paths; a RandomAccessFile may be read by many
// at once.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "nestor/status.h"

namespace nestor {

// A read-only regular file. Reading past its end (it was cut meanwhile) is an error, not a signal.
class RandomAccessFile {
 public:
  // Errors: kNotFound, kInvalidArgument (not a regular file), kIoError.
  static Result<RandomAccessFile> open(const std::string& path);
  RandomAccessFile(RandomAccessFile&& other) noexcept;
  RandomAccessFile& operator=(RandomAccessFile&& other) noexcept;
  RandomAccessFile(const RandomAccessFile&) = delete;
  RandomAccessFile& operator=(const RandomAccessFile&) = delete;
  ~RandomAccessFile();

  // Fills all of `out` from `offset`. Errors: kDataLoss (the file ends earlier), kIoError.
  Status read(std::uint64_t offset, std::span<char> out) const;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::int64_t modified_nanoseconds() const { return modified_nanoseconds_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // False when it has another size or time of change than at open. Cost: one fstat.
  [[nodiscard]] bool unchanged() const;

 private:
  friend class MappedFile;
  RandomAccessFile() = default;
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;
  std::int64_t modified_nanoseconds_ = 0;
  std::string path_;
};

// A read-only mapping of a whole regular file, shared with every process that maps it. Touching a
// page of a file that was cut meanwhile is a signal (SIGBUS), so map only files that are replaced
// and never rewritten in place, and ask unchanged() before each use.
class MappedFile {
 public:
  // Errors: those of RandomAccessFile::open; kDataLoss (empty); kIoError, kOutOfMemory.
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const char> bytes() const { return bytes_; }
  [[nodiscard]] const std::string& path() const { return file_.path(); }
  // False when the open file has another size or time of change than it had. Cost: one fstat.
  [[nodiscard]] bool unchanged() const { return file_.unchanged(); }
  // Reads instead of touching the mapping: what is read leaves no page in this process's memory.
  // Errors: those of RandomAccessFile::read.
  Status read(std::uint64_t offset, std::span<char> out) const { return file_.read(offset, out); }

 private:
  MappedFile(RandomAccessFile file, std::span<const char> bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  RandomAccessFile file_;
  std::span<const char> bytes_;
};

// A file that is written in pieces and takes the place of `path` as a whole when it is committed;
// before that, or after a crash, the old one is there and the temporary one is removed (after a
// crash: left behind as *.tmp).
class FileReplacement {
 public:
  // Errors: kIoError, kNoSpace.
  static Result<FileReplacement> create(const std::string& path);
  FileReplacement(FileReplacement&& other) noexcept;
  FileReplacement& operator=(FileReplacement&&) = delete;
  FileReplacement(const FileReplacement&) = delete;
  FileReplacement& operator=(const FileReplacement&) = delete;
  ~FileReplacement();

  // Errors: kIoError, kNoSpace. Threads: different ranges may be written at once.
  Status write(std::uint64_t offset, std::string_view bytes) const;
  // Where the bytes are until then.
  [[nodiscard]] const std::string& temporary() const { return temporary_; }
  // Syncs, renames, syncs the folder.
  Status commit();

 private:
  FileReplacement(int descriptor, std::string path, std::string temporary)
      : descriptor_(descriptor), path_(std::move(path)), temporary_(std::move(temporary)) {}
  int descriptor_ = -1;
  std::string path_;
  std::string temporary_;
};

// The whole file. Errors: those of RandomAccessFile; kInvalidArgument (over `most_bytes`, both
// numbers named).
Result<std::string> read_file(const std::string& path, std::uint64_t most_bytes);
// Replaces or creates `path`; after a crash it holds the old bytes or the new ones, never a
// mixture. Errors: kIoError, kNoSpace.
Status write_file_atomic(const std::string& path, std::string_view bytes);
Status sync_folder(const std::string& path);
// Makes the folder and its parents. Errors: kIoError (names the path and the cause).
Status make_folders(const std::string& path);
bool is_regular_file(const std::string& path);
bool is_folder(const std::string& path);
// kIoError (or kNoSpace, kNotFound) from errno: "cannot <action> <path>: <cause>".
Status errno_status(int error, const std::string& action, const std::string& path);

// The environment's value, or empty.
std::string environment(const char* name);
// $XDG_DATA_HOME/nestor or ~/.local/share/nestor; $XDG_CACHE_HOME/nestor or ~/.cache/nestor.
// Empty when neither variable nor HOME is set.
std::string data_folder();
std::string cache_folder();

}  // namespace nestor
