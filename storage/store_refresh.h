// A reader beside a writer: whether anything newer was acknowledged, and if so, RocksDB opened once
// more. Opening again is the way because a view has to stay what it was: RocksDB's secondary
// instances catch up in place, know no snapshots, and want a folder to write in.
// Threads: free function, safe anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "storage/store_opening.h"

namespace nestor::storage {

// Nothing where no batch after `seen` was acknowledged. Errors: those of open_checked_read_only;
// kFailedPrecondition where the folder holds another database than `database_id`, or less than was
// seen. May throw as open_store.
Result<std::optional<CheckedStore>> open_newer(const std::string& path, std::uint64_t database_id,
                                               std::uint64_t seen, std::int64_t memory_bytes = 0);

}  // namespace nestor::storage
