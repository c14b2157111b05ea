#include "tools/cli/document_key.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "query/folder_sync.h"
#include "query/name_forms.h"

namespace nestor::cli {

Result<KeyMatch> find_key(const Database& database, const std::string& typed,
                          const std::string& collection) {
  constexpr std::int64_t kMostNear = 3;
  const Status there = database.get(typed, collection).status();
  // A damaged document can still be removed.
  if (there.ok() || there.code() == StatusCode::kDataLoss) return KeyMatch{typed, true, {}};
  if (there.code() != StatusCode::kNotFound) return there;
  const Result<std::string> folder = database.attribute(collection, query::kFolderAttribute);
  if (!folder.ok() && folder.status().code() != StatusCode::kNotFound) return folder.status();
  const bool of_folder = folder.ok() && !folder.value().empty();
  std::set<std::string> candidates;
  for (std::string& form : query::name_forms(typed)) candidates.insert(std::move(form));
  // A file whose name has accents in both forms.
  const Filter called = Filter::field("path") == query::composed_name(typed);
  const Result<std::vector<std::string>> of_path =
      database.list_keys(called, collection, "", kMostNear);
  if (of_path.ok()) candidates.insert(of_path.value().begin(), of_path.value().end());
  std::vector<std::string> files;
  std::vector<std::string> others;
  for (const std::string& key : candidates) {
    // A document that has the path in its metadata is another one unless its key says the same.
    if (query::composed_name(key) != query::composed_name(typed)) continue;
    const Result<Document> document = database.get(key, collection);
    if (!document.ok()) continue;
    const bool file = of_folder && query::is_document_of_file(document.value());
    (file ? files : others).push_back(key);
  }
  if (files.size() == 1) return KeyMatch{files.front(), true, {}};
  others.insert(others.begin(), files.begin(), files.end());
  return KeyMatch{typed, false, std::move(others)};
}

std::string unmatched_text(const KeyMatch& match) {
  std::string text = "no document has the key " + quote_for_message(match.key);
  for (std::size_t i = 0; i < match.near.size(); ++i) {
    text += fmt::format("{}{}", i == 0 ? "; in another Unicode form there is " : " and ",
                        quote_for_message(match.near[i]));
  }
  return text;
}

}  // namespace nestor::cli
