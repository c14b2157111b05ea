// The forms of one name: as it was typed, and with its accents composed (NFC) and decomposed (NFD).
// A file called by the one form is found by the other. Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nestor/filter.h"

namespace nestor::query {

// NFC; as it is where it is no UTF-8.
std::string composed_name(std::string_view name);
// `name` first, then its NFC and NFD, each once.
std::vector<std::string> name_forms(std::string_view name);
// The filter with conditions on `path` and `key` that hold for any form of their strings.
Filter with_name_forms(const Filter& filter);

}  // namespace nestor::query
