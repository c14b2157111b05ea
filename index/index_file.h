// The envelope of every index cache on disk: magic, format version, what it belongs to, length,
// checksum. It is checked in full before a byte of the payload is handed on; anything wrong means
// "rebuild", never a crash. Layout: storage/FORMAT.md, section "Index caches". Threads: free
// functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/hash.h"
#include "core/thread_pool.h"
#include "nestor/status.h"

namespace nestor::index {

inline constexpr std::uint32_t kIndexFileVersion = 2;

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

// The hash of the hashes of a payload's pieces of 4 MiB, so that threads can take part: one of them
// gets half of what the memory gives. Without a pool the calling thread does it alone.
// STORED. Throws std::bad_alloc.
std::uint64_t index_payload_hash(std::string_view payload, ThreadPool* pool = nullptr);

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

// The same file for payloads that are better written in pieces and mapped than held twice.
class IndexFileWriter {
 public:
  // Errors: those of write_index_file.
  static Result<IndexFileWriter> create(const std::string& path, const IndexIdentity& identity,
                                        std::uint64_t payload_bytes);
  // `offset` counts from the payload's first byte; what is never written is zero.
  // Errors: kIoError, kNoSpace.
  Status write(std::uint64_t offset, std::string_view bytes) const;
  // Reads the payload back for its checksum, writes the head, takes the place of `path`.
  Status commit();

 private:
  IndexFileWriter(FileReplacement file, std::string path, std::string identity,
                  std::uint64_t payload_bytes);
  FileReplacement file_;
  std::string path_;
  std::string identity_;
  std::uint64_t head_bytes_;
  std::uint64_t payload_bytes_;
};

// Where the payload of such a file begins.
std::uint64_t index_payload_offset(const IndexIdentity& identity);

struct MappedIndexFile {
  IndexIdentity identity;
  MappedFile file;
  std::uint64_t payload_offset = 0;
  [[nodiscard]] std::string_view payload() const {
    return {file.bytes().data() + payload_offset, file.bytes().size() - payload_offset};
  }
};
// Errors: those of read_index_file. Cost: one pass over the file at the checksum's speed, on the
// threads of `pool` where it is given and the file is large.
Result<MappedIndexFile> map_index_file(const std::string& path, ThreadPool* pool = nullptr);

}  // namespace nestor::index
