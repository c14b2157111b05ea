// The reserve of disk space a write must leave: Debian's RocksDB ends the process when a synced log
// append meets a full disk, so it must never meet one.
// Threads: free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "nestor/status.h"

namespace nestor::storage {

inline constexpr std::int64_t kReserveBytes = std::int64_t{64} << 20;

// Bytes this user may still write below a path; negative when it cannot be told.
using FreeBytesFunction = std::function<std::int64_t(const std::string& path)>;
std::int64_t free_bytes_of_file_system(const std::string& path);

// kNoSpace, with the numbers and `advice`, where less than the reserve and twice `write_bytes` (the
// log, and the table made from it) are free. Space that cannot be told counts as enough.
Status check_free_space(const FreeBytesFunction& free_bytes, const std::string& path,
                        std::int64_t write_bytes, const std::string& advice);

}  // namespace nestor::storage
