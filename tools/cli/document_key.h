// Which document a person means by a name: the one with that key, or the file that is called so in
// another Unicode form (macOS decomposes accents, keyboards compose them). Threads: one.
#pragma once

#include <string>
#include <vector>

#include "nestor/database.h"

namespace nestor::cli {

struct KeyMatch {
  std::string key;                // the key that was meant; as typed where none is found
  bool found = false;             // also where the document is there and damaged
  std::vector<std::string> near;  // keys in another Unicode form that are not taken; a few
};

// The document with the key `typed`; without one, and in a collection that is kept in step with a
// folder, the document of a file whose path is `typed` in another Unicode form, where exactly one
// is. Errors: those of Database::get but kNotFound and kDataLoss.
Result<KeyMatch> find_key(const Database& database, const std::string& typed,
                          const std::string& collection);
// "no document has the key 'a'; near is 'b'": of a match that was not found.
std::string unmatched_text(const KeyMatch& match);

}  // namespace nestor::cli
