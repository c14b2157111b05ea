// Reads of RocksDB at one snapshot: single records, sorted bunches, ranges; and the few records
// that everybody needs, decoded. Threads: safe anywhere while the DB lives.
#pragma once

#include <rocksdb/db.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "storage/record_codec.h"

namespace nestor::storage {

inline constexpr const char* kStateName = "state";
inline constexpr const char* kFormatName = "format";

class RecordSource {
 public:
  // Without a snapshot: the newest state, which in a read-only DB never changes.
  RecordSource(rocksdb::DB& db, const rocksdb::Snapshot* snapshot)
      : db_(&db), snapshot_(snapshot) {}

  // Nothing where the key is not there. Errors of all: kDataLoss, kIoError.
  Result<std::optional<std::string>> get(const std::string& key) const;
  // kDataLoss where the key is not there.
  Result<std::string> require(const std::string& key) const;
  // Hands on the value of every key in order. REQUIRES: keys strictly ascending. kDataLoss where
  // one is not there.
  Status get_all(
      std::span<const std::string> keys,
      const std::function<Status(std::size_t index, std::string_view value)>& visit) const;
  // Records with begin <= key < end (empty: to the last) in order; `visit` returns false to stop.
  // Large scans stay out of the block cache.
  using Visitor = std::function<Result<bool>(std::string_view key, std::string_view value)>;
  Status scan(const std::string& begin, const std::string& end, const Visitor& visit) const;
  // The same; `visit` returns the key to go on from, which is above the one visited, or nothing for
  // the next one. Cost: a jump some microseconds.
  using Jumper = std::function<Result<std::string>(std::string_view key, std::string_view value)>;
  Status scan_jumping(const std::string& begin, const std::string& end, const Jumper& visit) const;

  Result<StoreState> state() const;
  Result<StoreFormat> format() const;
  Result<std::optional<CollectionRecord>> find_collection(const std::string& name) const;
  Result<std::vector<CollectionRecord>> collections() const;

  // Recomputes the checksums of all table files.
  Status check_tables() const;

 private:
  rocksdb::ReadOptions read_options() const;
  // For a large scan; empty: to the last key. `bound` and its bytes must outlive the iterator.
  std::unique_ptr<rocksdb::Iterator> scan_up_to(const rocksdb::Slice& bound) const;
  rocksdb::DB* db_;
  const rocksdb::Snapshot* snapshot_;
};

}  // namespace nestor::storage
