#include "tools/cli/document_key.h"

#include <vector>

#include "core/macros.h"
#include "query/name_forms.h"

namespace nestor::cli {

Result<std::string> find_key(const Database& database, const std::string& typed,
                             const std::string& collection) {
  for (const std::string& form : query::name_forms(typed)) {
    const Result<Document> document = database.get(form, collection);
    if (document.ok()) return form;
    if (document.status().code() != StatusCode::kNotFound) return document.status();
  }
  // A file whose name has accents in both forms.
  const Filter called = Filter::field("path") == query::composed_name(typed);
  NESTOR_ASSIGN_OR_RETURN(const std::vector<std::string> keys,
                          database.list_keys(called, collection, "", 1));
  return keys.empty() ? typed : keys.front();
}

}  // namespace nestor::cli
