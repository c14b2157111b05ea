#include "query/cache_files.h"

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include "core/macros.h"

namespace nestor::query {

Status remove_caches_of_the_gone(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view) {
  if (store.read_only()) return {};
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store.collections(view));
  std::set<std::uint32_t> there;
  for (const storage::Collection& collection : collections) there.insert(collection.id);
  std::error_code error;
  std::filesystem::directory_iterator entry(store.cache_folder(), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::uint32_t id = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool named_by_id = wrong == std::errc() && end != name.data() + name.size();
    if (!named_by_id || *end != '-' || there.contains(id)) continue;
    std::error_code ignored;
    std::filesystem::remove(entry->path(), ignored);
  }
  return {};
}

}  // namespace nestor::query
