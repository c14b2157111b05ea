#include "query/cache_files.h"

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include "core/folder.h"
#include "core/macros.h"

namespace nestor::query {

Status remove_caches_of_the_gone(const storage::DocumentStore& store,
                                 const storage::DocumentStore::View& view) {
  if (store.read_only()) return {};
  NESTOR_ASSIGN_OR_RETURN(const auto collections, store.collections(view));
  std::set<std::uint32_t> there;
  for (const storage::Collection& collection : collections) there.insert(collection.id);
  auto entries = list_folder(store.cache_folder());
  if (!entries.ok()) return {};  // a folder that cannot be listed may be made at the next save
  for (const FolderEntry& entry : entries.value()) {
    const std::string& name = entry.name;
    std::uint32_t id = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), id);
    const bool named_by_id = wrong == std::errc() && end != name.data() + name.size();
    if (!named_by_id || *end != '-' || there.contains(id)) continue;
    std::error_code ignored;
    std::filesystem::remove(store.cache_folder() + "/" + name, ignored);
  }
  return {};
}

}  // namespace nestor::query
