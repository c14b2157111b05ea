#include "storage/record_source.h"

#include <algorithm>
#include <memory>

#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/record_frame.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

// Keys of one MultiGet: enough to share block reads, few enough that their values stay small.
constexpr std::size_t kBunch = 128;

Status read_failed(const rocksdb::Status& status, std::string_view key) {
  return status_from_rocksdb(status, "read " + describe_key(key));
}

Status missing_record(std::string_view key) { return damaged_record(key, "it is missing"); }

}  // namespace

rocksdb::ReadOptions RecordSource::read_options() const {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot_;
  return options;
}

Result<std::optional<std::string>> RecordSource::get(const std::string& key) const {
  std::string value;
  const rocksdb::Status status = db_->Get(read_options(), key, &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return read_failed(status, key);
  return std::optional<std::string>(std::move(value));
}

Result<std::string> RecordSource::require(const std::string& key) const {
  NESTOR_ASSIGN_OR_RETURN(std::optional<std::string> value, get(key));
  if (!value) return missing_record(key);
  return *std::move(value);
}

Status RecordSource::get_all(
    std::span<const std::string> keys,
    const std::function<Status(std::size_t index, std::string_view value)>& visit) const {
  for (std::size_t first = 0; first < keys.size(); first += kBunch) {
    const std::size_t count = std::min(kBunch, keys.size() - first);
    std::vector<rocksdb::Slice> slices(keys.begin() + static_cast<std::ptrdiff_t>(first),
                                       keys.begin() + static_cast<std::ptrdiff_t>(first + count));
    std::vector<rocksdb::PinnableSlice> values(count);
    std::vector<rocksdb::Status> statuses(count);
    db_->MultiGet(read_options(), db_->DefaultColumnFamily(), count, slices.data(), values.data(),
                  statuses.data(), /*sorted_input=*/true);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string& key = keys[first + i];
      if (statuses[i].IsNotFound()) return missing_record(key);
      if (!statuses[i].ok()) return read_failed(statuses[i], key);
      NESTOR_RETURN_IF_ERROR(visit(first + i, values[i].ToStringView()));
    }
  }
  return {};
}

std::unique_ptr<rocksdb::Iterator> RecordSource::scan_up_to(const rocksdb::Slice& bound) const {
  rocksdb::ReadOptions options = read_options();
  options.fill_cache = false;
  if (!bound.empty()) options.iterate_upper_bound = &bound;
  return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options));
}

Status RecordSource::scan(const std::string& begin, const std::string& end,
                          const Visitor& visit) const {
  const rocksdb::Slice bound(end);
  const std::unique_ptr<rocksdb::Iterator> iterator = scan_up_to(bound);
  std::string last = begin;
  for (iterator->Seek(begin); iterator->Valid(); iterator->Next()) {
    const std::string_view key = iterator->key().ToStringView();
    NESTOR_ASSIGN_OR_RETURN(const bool go_on, visit(key, iterator->value().ToStringView()));
    if (!go_on) return {};
    last = key;
  }
  return status_from_rocksdb(iterator->status(), "read on after " + describe_key(last));
}

Status RecordSource::scan_jumping(const std::string& begin, const std::string& end,
                                  const Jumper& visit) const {
  const rocksdb::Slice bound(end);
  const std::unique_ptr<rocksdb::Iterator> iterator = scan_up_to(bound);
  std::string last = begin;
  iterator->Seek(begin);
  while (iterator->Valid()) {
    last = iterator->key().ToStringView();
    NESTOR_ASSIGN_OR_RETURN(const std::string next, visit(last, iterator->value().ToStringView()));
    if (next.empty()) {
      iterator->Next();
    } else {
      iterator->Seek(next);
    }
  }
  return status_from_rocksdb(iterator->status(), "read on after " + describe_key(last));
}

Result<StoreState> RecordSource::state() const {
  const std::string key = meta_key(kStateName);
  NESTOR_ASSIGN_OR_RETURN(const std::string value, require(key));
  return decode_state(key, value);
}

Result<StoreFormat> RecordSource::format() const {
  const std::string key = meta_key(kFormatName);
  NESTOR_ASSIGN_OR_RETURN(const std::string value, require(key));
  return decode_format(key, value);
}

Result<std::optional<CollectionRecord>> RecordSource::find_collection(
    const std::string& name) const {
  const std::string key = catalog_key(name);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, get(key));
  if (!value) return std::optional<CollectionRecord>();
  NESTOR_ASSIGN_OR_RETURN(CollectionRecord record, decode_collection(key, *value));
  return std::optional<CollectionRecord>(std::move(record));
}

Result<std::vector<CollectionRecord>> RecordSource::collections() const {
  std::vector<CollectionRecord> records;
  const std::string prefix = key_prefix(KeyTag::kCatalog);
  NESTOR_RETURN_IF_ERROR(scan(prefix, prefix_end(prefix),
                              [&](std::string_view key, std::string_view value) -> Result<bool> {
                                NESTOR_ASSIGN_OR_RETURN(CollectionRecord record,
                                                        decode_collection(key, value));
                                records.push_back(std::move(record));
                                return true;
                              }));
  return records;
}

Status RecordSource::check_tables() const {
  return status_from_rocksdb(db_->VerifyChecksum(), "verify RocksDB's tables");
}

}  // namespace nestor::storage
