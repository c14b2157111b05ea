// What a person should know of a filter before its result is trusted: names that no document has.
// Threads: one, the main thread.
#pragma once

#include <string>
#include <vector>

#include "nestor/database.h"
#include "tools/cli/context.h"

namespace nestor::cli {

// As Filter::parse; conditions on `path` and `key` hold for names in NFC and NFD alike.
Result<Filter> parse_filter(const std::string& text);
// "no document has a field 'yaer'; did you mean 'year'?"
std::string unknown_field_text(const UnknownField& field);
// Says so on stderr, also with --quiet, of each unknown field that the filter compares, and of one
// that it only asks the existence of where a similar one is there. Errors: those of
// Database::unknown_fields.
Status caution_of_unknown_fields(const Database& database, const Filter& filter,
                                 const std::string& collection, Context& context);

}  // namespace nestor::cli
