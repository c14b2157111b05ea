// Which document a person means by a name: the one with that key, or the file that is called so in
// another Unicode form (macOS decomposes accents, keyboards compose them). Threads: one.
#pragma once

#include <string>

#include "nestor/database.h"

namespace nestor::cli {

// `typed` itself where no document is found. Errors: those of Database::get but kNotFound.
Result<std::string> find_key(const Database& database, const std::string& typed,
                             const std::string& collection);

}  // namespace nestor::cli
