#include "query/document_query.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "query/expiry.h"
#include "query/filter_match.h"
#include "query/filter_plan.h"
#include "query/input_check.h"

namespace nestor::query {
namespace {

using storage::FieldEntry;
using storage::StoredDocument;

bool holds(const Filter& filter, const StoredDocument& stored) {
  const Document& document = stored.document;
  return matches(filter.node(), {document.key, document.title, document.metadata});
}

Result<std::vector<std::string>> keys_from_index(const DocumentSource& source, const RowSet& rows,
                                                 const std::string& after, std::int64_t limit) {
  std::vector<std::string> keys;
  if (limit <= 0) return keys;
  const storage::FieldPlace place{source.collection.id, true, "key"};
  NESTOR_RETURN_IF_ERROR(source.store.scan_field(
      source.view, strings_after(place, after), [&](const FieldEntry& entry) {
        if (rows.contains(entry.first_row_id)) keys.push_back(entry.text);
        return static_cast<std::int64_t>(keys.size()) < limit;
      }));
  return keys;
}

// In batches, the keys that `next` hands out after the last one; none ends it.
Result<std::int64_t> remove_in_batches(
    const std::function<Result<std::vector<std::string>>(const DocumentSource& newest,
                                                         const std::string& after)>& next,
    const CommitFunction& commit, const std::stop_token& stop) {
  std::int64_t removed = 0;
  std::string after;
  while (true) {
    if (stop.stop_requested()) {
      return Status(
          StatusCode::kCancelled,
          fmt::format("removing was stopped; {} documents are removed", with_thousands(removed)));
    }
    bool done = false;
    NESTOR_ASSIGN_OR_RETURN(const storage::Commit commit_of_batch,
                            commit([&](const DocumentSource& newest) -> Result<storage::Batch> {
                              storage::Batch batch;
                              NESTOR_ASSIGN_OR_RETURN(batch.removals, next(newest, after));
                              done = batch.removals.empty();
                              if (!done) after = batch.removals.back();
                              return batch;
                            }));
    if (done) return removed;
    removed += commit_of_batch.removed_documents;
  }
}

}  // namespace

Result<std::int64_t> count_documents(const DocumentSource& source, const Filter& filter) {
  NESTOR_ASSIGN_OR_RETURN(const MatchingRows matching,
                          find_matching_rows(source.store, source.view, source.collection, filter,
                                             source.now, source.filters));
  return count_matching_documents(matching);
}

Result<std::vector<std::string>> list_matching_keys(const DocumentSource& source,
                                                    const Filter& filter, const std::string& after,
                                                    std::int64_t limit) {
  NESTOR_ASSIGN_OR_RETURN(const bool indexed,
                          source.store.has_field_index(source.view, source.collection.id));
  if (indexed) {
    NESTOR_ASSIGN_OR_RETURN(const MatchingRows matching,
                            find_matching_rows(source.store, source.view, source.collection, filter,
                                               source.now, source.filters));
    return keys_from_index(source, *matching.rows, after, limit);
  }
  std::vector<std::string> keys;
  if (limit <= 0) return keys;
  NESTOR_RETURN_IF_ERROR(
      scan_matching_documents(source, filter, after, [&](const StoredDocument& stored) {
        keys.push_back(stored.document.key);
        return static_cast<std::int64_t>(keys.size()) < limit;
      }));
  return keys;
}

Status scan_matching_documents(const DocumentSource& source, const Filter& filter,
                               const std::string& after,
                               const std::function<bool(const StoredDocument&)>& visit) {
  NESTOR_RETURN_IF_ERROR(filter.check());
  return source.store.scan_documents(
      source.view, source.collection.id, after, [&](const StoredDocument& stored) {
        if (is_expired(stored.document.metadata, source.now) || !holds(filter, stored)) return true;
        return visit(stored);
      });
}

namespace {

Result<storage::Batch> batch_of(const DocumentSource& source,
                                const std::vector<MetadataChange>& changes) {
  std::map<std::string, Metadata> changed;
  for (const MetadataChange& change : changes) {
    auto found = changed.find(change.key);
    if (found == changed.end()) {
      NESTOR_ASSIGN_OR_RETURN(
          const std::optional<StoredDocument> stored,
          source.store.find_document(source.view, source.collection.id, change.key));
      if (!stored || is_expired(stored->document.metadata, source.now)) continue;
      found = changed.emplace(change.key, stored->document.metadata).first;
    }
    Metadata& metadata = found->second;
    if (change.replace) metadata.clear();
    for (const std::string& name : change.unset) metadata.erase(name);
    for (const auto& [name, value] : change.set) metadata.insert_or_assign(name, value);
  }
  storage::Batch batch;
  for (auto& [key, metadata] : changed) {
    NESTOR_RETURN_IF_ERROR(
        check_metadata(metadata, fmt::format("document {}", quote_for_message(key))));
    batch.metadata_writes.push_back({key, std::move(metadata)});
  }
  return batch;
}

}  // namespace

Result<std::int64_t> change_metadata(const std::vector<MetadataChange>& changes,
                                     const CommitFunction& commit) {
  NESTOR_ASSIGN_OR_RETURN(const storage::Commit done, commit([&](const DocumentSource& newest) {
                            return batch_of(newest, changes);
                          }));
  return done.changed_documents;
}

Result<std::int64_t> remove_matching(const Filter& filter, const CommitFunction& commit,
                                     const std::stop_token& stop) {
  const auto next = [&](const DocumentSource& newest, const std::string& after) {
    return list_matching_keys(newest, filter, after, kRemovalsAtOnce);
  };
  return remove_in_batches(next, commit, stop);
}

Result<std::int64_t> sweep_expired(const CommitFunction& commit, const std::stop_token& stop) {
  const auto next = [&](const DocumentSource& newest, const std::string& after) {
    // Filters do not see what has expired, so it is asked for at a time when nothing had.
    DocumentSource before_all = newest;
    before_all.now = -std::numeric_limits<double>::infinity();
    const Filter expired = Filter::field(std::string("meta.") + kExpiresAtField) <= newest.now;
    return list_matching_keys(before_all, expired, after, kRemovalsAtOnce);
  };
  return remove_in_batches(next, commit, stop);
}

}  // namespace nestor::query
