// The order-free digest of a collection: the sum modulo 2^128 of the hashes of its document and row
// records. A commit subtracts what it takes away and adds what it writes; verify adds up
// everything. Threads: free functions, safe anywhere.
#pragma once

#include <string_view>

#include "core/hash.h"

namespace nestor::storage {

void add_to_digest(Hash128& digest, std::string_view key, std::string_view value);
void take_from_digest(Hash128& digest, std::string_view key, std::string_view value);
// a + b - c, modulo 2^128: a digest moved by the difference of two others.
Hash128 moved_digest(const Hash128& a, const Hash128& b, const Hash128& c);

}  // namespace nestor::storage
