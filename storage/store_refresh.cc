#include "storage/store_refresh.h"

#include <fmt/format.h>

#include <utility>

#include "core/macros.h"
#include "storage/watermark.h"

namespace nestor::storage {
namespace {

Status replaced(const std::string& path, const std::string& what) {
  return {StatusCode::kFailedPrecondition,
          fmt::format("{} {}; this reader goes on with what it has seen. Close it and open the "
                      "database again",
                      path, what)};
}

Status went_back(const std::string& path, std::uint64_t seen, std::uint64_t found) {
  return replaced(path, fmt::format("went back from batch {} to {}: it was restored from an older "
                                    "copy",
                                    seen, found));
}

}  // namespace

Result<std::optional<CheckedStore>> open_newer(const std::string& path, std::uint64_t database_id,
                                               std::uint64_t seen, std::int64_t memory_bytes) {
  NESTOR_ASSIGN_OR_RETURN(const std::optional<Manifest> manifest, read_manifest(path));
  if (!manifest || !manifest->complete) return replaced(path, "holds no database any more");
  if (manifest->database_id != database_id) {
    return replaced(path, fmt::format("held database {:016x} and holds {:016x} now", database_id,
                                      manifest->database_id));
  }
  NESTOR_ASSIGN_OR_RETURN(const std::uint64_t acknowledged, read_watermark(path, database_id));
  // A batch may be seen between its writing and its mark, and its writer may have died there.
  if (acknowledged + 1 < seen) return went_back(path, seen, acknowledged);
  if (acknowledged <= seen) return std::optional<CheckedStore>();
  NESTOR_ASSIGN_OR_RETURN(CheckedStore checked,
                          open_checked_read_only(path, *manifest, memory_bytes));
  if (checked.state.sequence < seen) return went_back(path, seen, checked.state.sequence);
  return std::optional<CheckedStore>(std::move(checked));
}

}  // namespace nestor::storage
