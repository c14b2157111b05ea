// RocksdbStore: giving back the disk space of what is deleted, and looking for what is left of it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/rocksdb_options.h"
#include "storage/rocksdb_store.h"
#include "storage/rocksdb_view.h"
#include "storage/shadow_collection.h"
#include "storage/trace_search.h"

namespace nestor::storage {
namespace {

// What one step of a compaction may rewrite before the files it replaces are given back: some steps
// of max_compaction_bytes (rocksdb_options.cc) with what they overlap.
constexpr std::int64_t kMostExtraBytes = std::int64_t{3} << 30;

std::int64_t number_property(rocksdb::DB& db, const std::string& name) {
  std::uint64_t value = 0;
  return db.GetIntProperty(name, &value) ? static_cast<std::int64_t>(value) : 0;
}

}  // namespace

// Versions that an older reader still sees stay, so its end is waited for.
Status RocksdbStore::wait_for_older_views(rocksdb::SequenceNumber snapshot) const {
  constexpr auto kMostWait = std::chrono::seconds(30);
  const auto start = std::chrono::steady_clock::now();
  const auto older = [&] {
    const std::int64_t oldest =
        number_property(*db_, rocksdb::DB::Properties::kOldestSnapshotSequence);
    return oldest > 0 && static_cast<rocksdb::SequenceNumber>(oldest) < snapshot;
  };
  while (older()) {
    if (std::chrono::steady_clock::now() - start > kMostWait) {
      return {StatusCode::kFailedPrecondition,
              "a search that began before is still running and needs what is to be given back; "
              "compact again after it"};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

// The list of files that a small change begins knows nothing of the files that went.
Status RocksdbStore::forget_old_files() {
  NESTOR_RETURN_IF_ERROR(check_writable());
  NESTOR_RETURN_IF_ERROR(pin_current_view());
  const std::string state_key = meta_key(kStateName);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  NESTOR_RETURN_IF_ERROR(status_from_rocksdb(
      db_->Put(synced, state_key, encode_state(state_key, state_)), "write to " + path_));
  NESTOR_RETURN_IF_ERROR(
      status_from_rocksdb(db_->Flush(rocksdb::FlushOptions()), "write tables of " + path_));
  // Files that were held back by the calls before go now.
  NESTOR_RETURN_IF_ERROR(status_from_rocksdb(db_->DisableFileDeletions(), "tidy up " + path_));
  return status_from_rocksdb(db_->EnableFileDeletions(), "tidy up " + path_);
}

// RocksDB is not made for exceptions: after one its account of what runs in the background is
// wrong, and the next compaction would wait for ever.
template <typename Work>
Status RocksdbStore::ending_writes_on_exception(std::mutex& writing, const Work& work) {
  Status lost(StatusCode::kOutOfMemory, "memory ran out while " + path_ +
                                            " was compacted; close the database and open it "
                                            "again");
  try {
    return freezing_on_exception(db_, work);
  } catch (const std::exception&) {
    const std::lock_guard writer(writing);
    write_failure_ = lost;
    return lost;
  }
}

Status RocksdbStore::compact(std::mutex& writing) {
  return guarded([&]() -> Status {
    rocksdb::SequenceNumber snapshot = 0;
    {
      const std::lock_guard writer(writing);
      NESTOR_RETURN_IF_ERROR(check_writable());
      NESTOR_RETURN_IF_ERROR(pin_current_view());
      snapshot = current_->snapshot()->GetSequenceNumber();
    }
    const std::int64_t stored = number_property(*db_, rocksdb::DB::Properties::kTotalSstFilesSize) +
                                log_bytes(db_->GetName());
    // The check asks for twice what it is given.
    NESTOR_RETURN_IF_ERROR(check_free_space(writer_->free_bytes, path_,
                                            std::min(stored, kMostExtraBytes) / 2,
                                            "nothing was compacted; make room first"));
    NESTOR_RETURN_IF_ERROR(wait_for_older_views(snapshot));
    const Status compacted = ending_writes_on_exception(writing, [&]() -> Status {
      rocksdb::CompactRangeOptions options;
      options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
      NESTOR_RETURN_IF_ERROR(
          status_from_rocksdb(db_->Flush(rocksdb::FlushOptions()), "write tables of " + path_));
      return status_from_rocksdb(db_->CompactRange(options, nullptr, nullptr), "compact " + path_);
    });
    NESTOR_RETURN_IF_ERROR(compacted);
    return ending_writes_on_exception(writing, [&] {
      const std::lock_guard writer(writing);
      return forget_old_files();
    });
  });
}

Result<ErasureReport> RocksdbStore::find_traces(const std::string& collection,
                                                const std::string& key,
                                                const std::vector<std::string>& texts,
                                                std::stop_token stop) const {
  return guarded([&]() -> Result<ErasureReport> {
    const ViewPointer seen = view();
    const RecordSource source = at(*seen);
    NESTOR_ASSIGN_OR_RETURN(const auto record, source.find_collection(collection));
    if (!record) return no_collection(collection);
    rocksdb::DB& searched = static_cast<const RocksdbView&>(*seen).db();
    TraceQuery query{.collection = record->collection.id, .key = key, .texts = texts};
    NESTOR_ASSIGN_OR_RETURN(ErasureReport report, search_traces(path_, searched, query, stop));
    // A reembed that was begun keeps the documents a second time.
    NESTOR_ASSIGN_OR_RETURN(const auto shadow,
                            source.find_collection(shadow_name(record->collection)));
    if (!shadow) return report;
    query.collection = shadow->collection.id;
    NESTOR_ASSIGN_OR_RETURN(const ErasureReport hidden,
                            search_traces(path_, searched, query, stop));
    for (const std::string& finding : hidden.findings) {
      if (std::ranges::find(report.findings, finding) != report.findings.end()) continue;
      report.findings.push_back("in the reembed that was begun: " + finding);
    }
    return report;
  });
}

}  // namespace nestor::storage
