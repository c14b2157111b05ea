// Database::repair.
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
    const storage::DocumentStore& store = *database.impl_->parts->context.store;
    for (const query::CacheDamage& damage : query::damaged_caches(store)) {
      remove_file(damage.path);
      report.mended.push_back("a cache: " + damage.what);
      report.changed = true;
    }
    const auto view = database.impl_->parts->context.published.get()->view;
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

}  // namespace nestor
