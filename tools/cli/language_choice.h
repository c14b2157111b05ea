// --language of the commands that fill a collection: how its words are stemmed.
// Threads: free functions, one thread a database.
#pragma once

#include <string>

#include "nestor/database.h"
#include "nestor/status.h"

namespace nestor::cli {

inline constexpr const char* kLanguageHelp =
    "How words are stemmed for keyword search: auto (by the script of each word, Latin letters as "
    "English), none, or a language such as german (a wrong one lists all); kept with the "
    "collection. A change indexes its words again (default: as it is, or auto)";

// Empty: none was asked for. Errors: kInvalidArgument lists the languages there are.
Status check_language(const std::string& language);
// Sets the language of the collection, which is made if it is not there; nothing where it is empty.
// Errors: as check_language; those of Database::set_attribute.
Status set_language(Database& database, const std::string& collection, const std::string& language);

}  // namespace nestor::cli
