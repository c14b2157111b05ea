// The calls of Database that keep it in order: verify, repair, compact, erase.
#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "core/macros.h"
#include "nestor/database.h"
#include "query/cache_check.h"
#include "query/database_call.h"
#include "query/database_impl.h"
#include "query/open_database.h"
#include "storage/store_repair.h"

namespace nestor {
namespace {

namespace fs = std::filesystem;
using query::guarded;

// What repair needs no model for.
Result<query::EncoderPointer> no_encoder() {
  return Status(StatusCode::kModelMissing, "a repair embeds nothing");
}

void remove_file(const std::string& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

}  // namespace

Result<VerifyReport> Database::verify(std::stop_token stop) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<VerifyReport> {
    NESTOR_ASSIGN_OR_RETURN(VerifyReport report, impl_->store->verify(stop));
    for (const query::CacheDamage& damage : query::damaged_caches(*impl_->store)) {
      // What is wrong with an index file is said by the attempt to load it, below.
      if (damage.path.ends_with("-codes.index") || damage.path.ends_with("-flat.index")) continue;
      report.notes.push_back("a cache is of no use: " + damage.what);
    }
    const auto view = impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto collections, impl_->store->collections(*view));
    for (const storage::Collection& collection : collections) {
      if (collection.passages == 0) continue;
      if (const std::string rows = query::row_cache_damage(*impl_->store, *view, collection);
          !rows.empty()) {
        report.notes.push_back("row cache of collection '" + collection.name +
                               "' is of no use: " + rows);
      }
      query::IndexRoom room;
      {
        const std::shared_lock lock(impl_->state);
        room = impl_->room_for(collection.name, true);
      }
      const auto loaded = query::load_index(*impl_->store, *view, collection, {}, room);
      if (impl_->budget.limited() && loaded.status().code() == StatusCode::kOutOfMemory) {
        report.notes.push_back("the index was not compared: " + loaded.status().message());
        continue;
      }
      if (!loaded.ok()) {
        report.problems.push_back(loaded.status().message());
        continue;
      }
      if (!loaded.value().note.empty()) {
        report.notes.push_back("index cache of collection '" + collection.name +
                               "' is of no use: " + loaded.value().note);
      }
      NESTOR_RETURN_IF_ERROR(
          query::compare_index(*impl_->store, *view, collection, *loaded.value().index, report));
    }
    return report;
  });
}

Result<RepairReport> Database::repair(const std::string& path, const RepairOptions& options) {
  return guarded([&]() -> Result<RepairReport> {
    NESTOR_ASSIGN_OR_RETURN(
        RepairReport report,
        storage::repair_store(
            path, {.repair = options, .free_bytes = {}, .space_of = [&](std::uint32_t collection) {
                     return query::space_in_caches(path + "/cache", collection);
                   }}));
    if (report.needs_accept_loss) return report;
    // Opening for writing makes the field index and the postings that the repair took away.
    OpenOptions open;
    open.create_if_missing = false;
    open.log = options.log;
    open.memory_bytes = options.memory_bytes;
    NESTOR_ASSIGN_OR_RETURN(const Database database, query::open_database(path, open, no_encoder));
    const storage::DocumentStore& store = *database.impl_->store;
    for (const query::CacheDamage& damage : query::damaged_caches(store)) {
      remove_file(damage.path);
      report.mended.push_back("a cache: " + damage.what);
      report.changed = true;
    }
    const auto view = database.impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto collections, store.collections(*view));
    for (const storage::Collection& collection : collections) {
      if (collection.passages == 0) continue;
      const std::string rows = query::row_cache_damage(store, *view, collection);
      if (rows.empty()) continue;
      query::remove_rows(store, collection);
      report.mended.push_back(
          fmt::format("row cache of collection '{}': {}", collection.name, rows));
      report.changed = true;
    }
    if (!report.changed) return report;
    NESTOR_ASSIGN_OR_RETURN(const VerifyReport verified, store.verify({}));
    if (verified.problems.empty()) return report;
    return Status(StatusCode::kInternal,
                  fmt::format("{} was repaired, and verify still says: {}; please report this",
                              path, verified.problems.front()));
  });
}

Result<CompactReport> Database::compact() {
  NESTOR_ENTER();
  return guarded([&] { return impl_->compact(); });
}

Result<ErasureReport> Database::verify_erased(const std::string& key,
                                              const std::vector<std::string>& texts,
                                              const std::string& collection,
                                              std::stop_token stop) const {
  NESTOR_ENTER();
  return guarded([&]() -> Result<ErasureReport> {
    NESTOR_ASSIGN_OR_RETURN(ErasureReport report,
                            impl_->store->find_traces(collection, key, texts, stop));
    const auto view = impl_->current_view();
    NESTOR_ASSIGN_OR_RETURN(const auto found, impl_->find(*view, collection));
    if (!found.has_value()) return report;
    // Codes and cached rows carry no keys: they are told by the rows that they are of.
    NESTOR_ASSIGN_OR_RETURN(const std::int64_t dead,
                            query::dead_cached_rows(*impl_->store, *view, *found));
    if (dead > 0) {
      report.findings.push_back(
          fmt::format("caches of collection '{}' hold {} rows that are removed; remove with "
                      "erase, or delete the folder {}",
                      collection, dead, impl_->store->cache_folder()));
    }
    return report;
  });
}

Result<CompactReport> Database::Impl::compact() {
  const std::lock_guard writer(writing);
  CompactReport report{.bytes_before = store->disk_bytes()};
  NESTOR_RETURN_IF_ERROR(store->compact());
  report.bytes_after = store->disk_bytes();
  return report;
}

Status Database::Impl::erase_removed(const std::string& collection) {
  const std::lock_guard writer(writing);
  NESTOR_ASSIGN_OR_RETURN(const auto found, find(*current_view(), collection));
  if (found.has_value()) {
    // The index is made from what is left, codes and all; its files are mapped, so no search may
    // be using them when they go.
    const std::unique_lock lock(state);
    indexes.erase(collection);
    changed_.erase(collection);
    query::remove_caches(*store, *found);
  }
  return store->compact();
}

Result<std::int64_t> Database::Impl::and_erased(Result<std::int64_t> removed,
                                                const RemoveOptions& options) {
  if (!removed.ok() || !options.erase) return removed;
  if (const Status erased = erase_removed(options.collection); !erased.ok()) {
    return erased.with_context(fmt::format(
        "{} documents are removed, but not erased yet; call again with erase", removed.value()));
  }
  return removed;
}

}  // namespace nestor
