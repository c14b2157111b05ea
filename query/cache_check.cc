#include "query/cache_check.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>

#include "core/folder.h"
#include "core/macros.h"
#include "core/text.h"
#include "index/index_file.h"
#include "query/row_files.h"

namespace nestor::query {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> paths;
  const auto entries = list_folder(folder);
  if (!entries.ok()) return paths;
  for (const FolderEntry& entry : entries.value()) {
    if (entry.is_file) paths.push_back(folder + "/" + entry.name);
  }
  return paths;
}

bool has_envelope(const std::string& path) {
  return path.ends_with(".index") || path.ends_with(".rowseg");
}

}  // namespace

std::vector<CacheDamage> damaged_caches(const storage::DocumentStore& store) {
  std::vector<CacheDamage> damages;
  for (const std::string& path : files_in(store.cache_folder())) {
    if (!has_envelope(path)) continue;
    const auto file = index::map_index_file(path);
    if (!file.ok()) damages.push_back({path, file.status().message()});
  }
  return damages;
}

std::string row_cache_damage(const storage::DocumentStore& store,
                             const storage::DocumentStore::View& view,
                             const storage::Collection& collection) {
  const Status status = check_row_files(store, view, collection);
  return status.ok() || status.code() == StatusCode::kNotFound ? std::string() : status.message();
}

Status compare_index(const storage::DocumentStore& store, const storage::DocumentStore::View& view,
                     const storage::Collection& collection, const CollectionIndex& index,
                     VerifyReport& report) {
  if (!index.has_codes()) return {};
  std::int64_t missing = 0;
  std::int64_t rows = 0;
  std::uint64_t first_missing = 0;
  const Status scanned = store.scan_rows(view, collection, 0, [&](const storage::Row& row) {
    ++rows;
    if (!index.codes().contains(row.id) && missing++ == 0) first_missing = row.id;
    return true;
  });
  if (!scanned.ok()) return scanned;
  if (missing > 0) {
    report.problems.push_back(
        fmt::format("collection '{}': {} rows are not in the index, the first is row {}",
                    collection.name, with_thousands(missing), first_missing));
  }
  if (index.live_count() - rows + missing > 0) {
    report.problems.push_back(fmt::format(
        "collection '{}': the index has {} rows, {} of them are in the store", collection.name,
        with_thousands(index.live_count()), with_thousands(rows - missing)));
  }
  return {};
}

Result<std::int64_t> dead_cached_rows(const storage::DocumentStore& store,
                                      const storage::DocumentStore::View& view,
                                      const storage::Collection& collection) {
  if (collection.width == 0) return 0;
  NESTOR_ASSIGN_OR_RETURN(const std::int64_t in_index,
                          removed_rows_in_index_file(store, view, collection));
  const Result<std::int64_t> in_rows = removed_rows_in_row_files(store, view, collection);
  if (in_rows.ok()) return in_index + in_rows.value();
  return in_rows.status().code() == StatusCode::kNotFound ? in_index : in_index + 1;
}

void remove_caches(const storage::DocumentStore& store, const storage::Collection& collection) {
  const std::string prefix = fmt::format("{}-", collection.id);
  for (const std::string& path : files_in(store.cache_folder())) {
    std::error_code ignored;
    if (fs::path(path).filename().string().starts_with(prefix)) fs::remove(path, ignored);
  }
}

Status remove_caches_of_the_gone(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view) {
  if (store.read_only()) return {};
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store.collections(view));
  std::set<std::uint32_t> there;
  for (const storage::Collection& collection : collections) there.insert(collection.id);
  for (const std::string& path : files_in(store.cache_folder())) {
    const std::string name = fs::path(path).filename().string();
    std::uint32_t id = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool named_by_id = wrong == std::errc() && end != name.data() + name.size();
    if (!named_by_id || *end != '-' || there.contains(id)) continue;
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  return {};
}

std::string space_in_caches(const std::string& cache_folder, std::uint32_t collection) {
  for (const std::string& path : files_in(cache_folder)) {
    if (!path.ends_with(".index")) continue;
    const auto file = index::read_index_file(path);
    if (file.ok() && file.value().identity.collection_id == collection &&
        file.value().identity.space != "external") {
      return file.value().identity.space;
    }
  }
  return {};
}

}  // namespace nestor::query
