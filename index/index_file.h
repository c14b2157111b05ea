// The envelope of every index cache on disk: magic, format version, what it belongs to, length,
// checksum. It is checked in full before a byte of the payload is handed on; anything wrong means
// "rebuild", never a crash. Layout: storage/FORMAT.md, section "Index caches". Threads: free
// functions.
#pragma once

#include <cstdint>
#include <string>

#include "core/hash.h"
#include "nestor/status.h"

namespace nestor::index {

inline constexpr std::uint32_t kIndexFileVersion = 1;

// What a cache was built from. It serves only a store whose history contains exactly this state.
struct IndexIdentity {
  std::string collection;
  std::uint32_t collection_id = 0;
  std::string space;           // hex, or "external"
  int width = 0;               // of the index
  std::uint64_t sequence = 0;  // of the collection's last batch that is in it
  Hash128 digest;              // the collection's digest at that sequence
  bool operator==(const IndexIdentity&) const = default;
};

// In words, the first field in which what a cache was built from differs from what the store says;
// empty when they are equal.
std::string describe_mismatch(const IndexIdentity& found, const IndexIdentity& expected);

struct IndexFile {
  IndexIdentity identity;
  std::string payload;
};

// Errors: kIoError, kNoSpace, kOutOfMemory, kInvalidArgument (names of over 64 KiB).
Status write_index_file(const std::string& path, const IndexFile& file);
// Errors: kNotFound (no file), kDataLoss (damaged; says what), kUnsupported (another version, both
// numbers), kIoError, kOutOfMemory. After any of them the cure is the same: build the index anew
// from the store.
Result<IndexFile> read_index_file(const std::string& path);

}  // namespace nestor::index
