#include "storage/free_space.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include "core/text.h"

namespace nestor::storage {

std::int64_t free_bytes_of_file_system(const std::string& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) return -1;
  return static_cast<std::int64_t>(info.f_bavail) * static_cast<std::int64_t>(info.f_frsize);
}

Status check_free_space(const FreeBytesFunction& free_bytes, const std::string& path,
                        std::int64_t write_bytes, const std::string& advice) {
  const std::int64_t free = free_bytes(path);
  const std::int64_t needed = kReserveBytes + 2 * write_bytes;
  if (free < 0 || free >= needed) return {};
  return {StatusCode::kNoSpace,
          fmt::format("{} bytes are free at {}, {} are needed to write safely; {}",
                      with_thousands(free), path, with_thousands(needed), advice)};
}

}  // namespace nestor::storage
