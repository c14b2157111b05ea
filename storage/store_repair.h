// Mends a database from whatever of it can be read. Where RocksDB itself is sound, damaged and
// derived records are mended in place, in one atomic batch; where it is not, everything readable
// goes into a new RocksDB beside it, which then takes the old one's place by renames that the next
// repair finishes if this process dies among them (file REPAIR). What is derived (field index,
// postings) is only taken away here: the next open for writing makes it.
// Threads: free functions.
#pragma once

#include <functional>
#include <string>

#include "nestor/maintenance.h"
#include "nestor/status.h"

namespace nestor::storage {

// There while RocksDB's folder is being exchanged; holds the name of the lost folder.
inline constexpr const char* kRepairMarkName = "REPAIR";
// Where the new RocksDB grows; means nothing without the mark.
inline constexpr const char* kRepairFolderName = "repair.tmp";

struct StoreRepairOptions {
  RepairOptions repair = {};
  // Bytes still free below a path, as StoreOptions::free_bytes.
  std::function<std::int64_t(const std::string& path)> free_bytes = {};
  // The vector space of a collection (by id) whose own record is gone; empty: unknown.
  std::function<std::string(std::uint32_t collection)> space_of = {};
};

// True where a repair died among its renames.
bool is_repair_unfinished(const std::string& path);

// Errors: kNotFound (no database), kLocked (names the holder), kUnsupported (a newer format),
// kNoSpace, kIoError, kCancelled, kDataLoss (nothing at all can be read).
// Cost: reads everything twice; a new RocksDB needs as much room as the old one.
Result<RepairReport> repair_store(const std::string& path, const StoreRepairOptions& options);

}  // namespace nestor::storage
