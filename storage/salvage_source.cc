#include "storage/salvage_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/file.h"
#include "core/folder.h"
#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_status.h"

namespace nestor::storage {
namespace {

namespace fs = std::filesystem;

rocksdb::ReadOptions read_options() {
  // With checksums: Debian's RocksDB has its assertions on, and a damaged block whose entries it
  // takes apart ends the process.
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  return options;
}

// True where an iterator reaches anything at all; even an empty store has its format record.
bool is_readable(rocksdb::DB& db) {
  const std::unique_ptr<rocksdb::Iterator> iterator(db.NewIterator(read_options()));
  iterator->SeekToFirst();
  if (iterator->Valid()) return true;
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  return std::any_of(files.begin(), files.end(), [&](const rocksdb::LiveFileMetaData& file) {
    iterator->Seek(file.largestkey + '\0');
    return iterator->Valid();
  });
}

// Tables and logs as links beside the damaged folder: RocksDB's repair moves and deletes files.
Status link_files(const std::string& folder, const std::string& scratch) {
  NESTOR_RETURN_IF_ERROR(make_folders(scratch));
  const auto entries = list_folder(folder);
  if (!entries.ok()) return {StatusCode::kIoError, entries.status().message()};
  for (const FolderEntry& entry : entries.value()) {
    if (!entry.name.ends_with(".sst") && !entry.name.ends_with(".log")) continue;
    const fs::path path = fs::path(folder) / entry.name;
    const fs::path target = fs::path(scratch) / path.filename();
    std::error_code failed;
    fs::create_hard_link(path, target, failed);
    if (failed) fs::copy_file(path, target, failed);
    if (failed) {
      return {StatusCode::kIoError, fmt::format("cannot copy {} to {}: {}", path.string(),
                                                target.string(), failed.message())};
    }
  }
  return {};
}

// The byte string halfway between two, a little longer than both; equal to `low` where there is
// none.
std::string midpoint(const std::string& low, const std::string& high) {
  const std::size_t length = std::max(low.size(), high.size()) + 1;
  std::string sum(length, '\0');
  unsigned carry = 0;
  const auto byte_of = [](const std::string& text, std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  for (std::size_t i = length; i-- > 0;) {
    carry += byte_of(low, i) + byte_of(high, i);
    sum[i] = static_cast<char>(carry & 0xffU);
    carry >>= 8U;
  }
  for (char& c : sum) {  // halved
    const unsigned value = carry << 8U | static_cast<unsigned char>(c);
    c = static_cast<char>(value >> 1U);
    carry = value & 1U;
  }
  return sum > low && sum < high ? sum : low;
}

}  // namespace

Result<SalvageSource> SalvageSource::open(const std::string& folder, const std::string& scratch) {
  Result<RocksdbPointer> db = open_rocksdb(folder, OpenMode::kSalvage);
  if (db.ok() && is_readable(*db.value())) return SalvageSource(std::move(db).value());
  const std::string first_cause = db.ok() ? "a table cannot be opened" : db.status().message();
  db = Status(StatusCode::kDataLoss, "closed");
  NESTOR_RETURN_IF_ERROR(link_files(folder, scratch));
  NESTOR_RETURN_IF_ERROR(repair_rocksdb(scratch));
  db = open_rocksdb(scratch, OpenMode::kSalvage);
  if (!db.ok()) return db.status();
  SalvageSource source(std::move(db).value());
  source.note_gap("RocksDB's list of its files was made anew: " + first_cause);
  const auto lost = list_folder(scratch + "/lost");
  if (!lost.ok()) return source;
  for (const FolderEntry& entry : lost.value()) {
    if (entry.name.ends_with(".sst")) {
      source.note_gap("the table file " + entry.name + " cannot be read, with all that is in it");
    }
  }
  return source;
}

std::optional<std::string> SalvageSource::first_readable(
    rocksdb::Iterator& iterator, const std::optional<std::string>& last) const {
  std::vector<rocksdb::LiveFileMetaData> files;
  db_->GetLiveFilesMetaData(&files);
  std::vector<std::string> borders;
  for (const rocksdb::LiveFileMetaData& file : files) {
    borders.push_back(file.smallestkey);
    borders.push_back(file.largestkey + '\0');
  }
  std::sort(borders.begin(), borders.end());
  std::string low = last.value_or("");
  std::optional<std::string> high;
  for (const std::string& border : borders) {
    if (border <= low) continue;
    iterator.Seek(border);
    if (!iterator.Valid()) continue;
    high = iterator.key().ToString();
    break;
  }
  if (!high) return std::nullopt;
  // What is damaged lies together: halve the way to its end.
  constexpr int kMostSteps = 256;
  for (int step = 0; step < kMostSteps; ++step) {
    const std::string middle = midpoint(low, *high);
    if (middle == low) break;
    iterator.Seek(middle);
    if (iterator.Valid()) {
      high = middle;  // whatever is read from here on is after the damage
    } else {
      low = middle;
    }
  }
  return high;
}

Status SalvageSource::scan(const RecordSource::Visitor& visit) {
  const std::unique_ptr<rocksdb::Iterator> iterator(db_->NewIterator(read_options()));
  std::optional<std::string> last;
  iterator->SeekToFirst();
  for (;;) {
    while (iterator->Valid()) {
      const std::string_view key = iterator->key().ToStringView();
      last = std::string(key);
      NESTOR_ASSIGN_OR_RETURN(const bool go_on, visit(key, iterator->value().ToStringView()));
      if (!go_on) return {};
      iterator->Next();
    }
    if (iterator->status().ok()) return {};
    const std::string cause = iterator->status().ToString();
    const std::optional<std::string> next = first_readable(*iterator, last);
    note_gap(fmt::format("nothing can be read between {} and {} ({})",
                         last ? describe_key(*last) : std::string("the beginning"),
                         next ? describe_key(*next) : std::string("the end"), cause));
    if (!next) return {};
    iterator->Seek(*next);
    // A border that reads differently the second time must not be met for ever.
    if (!iterator->Valid() || (last && iterator->key().ToStringView() <= *last)) return {};
  }
}

void SalvageSource::note_gap(std::string sentence) {
  if (std::find(gaps_.begin(), gaps_.end(), sentence) == gaps_.end()) {
    gaps_.push_back(std::move(sentence));
  }
}

}  // namespace nestor::storage
