// The shadow of a collection: a hidden one that another model fills until it takes the collection's
// place. Its name begins with a dot, which no user's may, and DocumentStore::collections leaves it
// out; everything else treats it as a collection like others. STORED: FORMAT.md, "Shadows".
// Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "storage/records.h"

namespace nestor::storage {

// By the collection's id: a name may come to mean another collection, an id never does.
std::string shadow_name(const Collection& collection);
inline bool is_shadow_name(std::string_view name) { return name.starts_with('.'); }

}  // namespace nestor::storage
