#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "core/file.h"
#include "core/macros.h"

namespace nestor {

Result<MappedFile> MappedFile::open(const std::string& path) {
  NESTOR_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::open(path));
  if (file.bytes() == 0) return Status(StatusCode::kDataLoss, path + " is empty");
  void* address =
      ::mmap(nullptr, file.bytes(), PROT_READ, MAP_SHARED | MAP_NORESERVE, file.descriptor_, 0);
  if (address == MAP_FAILED) {
    if (errno == ENOMEM) {
      return Status(StatusCode::kOutOfMemory,
                    fmt::format("no room to map the {} bytes of {}", file.bytes(), path));
    }
    return errno_status(errno, "map", path);
  }
  const std::span<const char> bytes(static_cast<const char*>(address), file.bytes());
  return MappedFile(std::move(file), bytes);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : file_(std::move(other.file_)), bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

}  // namespace nestor
