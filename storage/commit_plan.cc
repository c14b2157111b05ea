#include "storage/commit_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>

#include "core/check.h"
#include "core/macros.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "storage/content_index.h"
#include "storage/journal.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kMostKeyBytes = 512;
// One batch is in memory several times over while it is written.
constexpr std::size_t kMostBatchBytes = std::size_t{1} << 30;

std::string in_document(const std::string& key) {
  return fmt::format("document {}", quote_for_message(key));
}

Status check_key(const std::string& key) {
  if (key.empty() || key.size() > kMostKeyBytes) {
    return {StatusCode::kInvalidArgument, fmt::format("{}: the key has {} bytes, expected 1 to {}",
                                                      in_document(key), key.size(), kMostKeyBytes)};
  }
  if (key.find('\0') != std::string::npos) {
    return {StatusCode::kInvalidArgument, in_document(key) + ": the key holds a NUL byte"};
  }
  return {};
}

Status check_row(const DocumentWrite& write, const Row& row, int width) {
  const auto wrong = [&](const std::string& what) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("{}, passage {}: {}", in_document(write.document.key),
                              &row - write.rows.data(), what));
  };
  const Passage& passage = row.passage;
  if (row.vector.size() != static_cast<std::size_t>(width)) {
    return wrong(
        fmt::format("its vector has {} components, the batch {}", row.vector.size(), width));
  }
  if (!all_finite(row.vector)) return wrong("its vector holds a NaN or an infinity");
  if (passage.bytes.begin < 0 || passage.bytes.begin > passage.bytes.end ||
      passage.bytes.end > static_cast<std::int64_t>(write.document.text.size())) {
    return wrong(fmt::format("bytes {} to {} of a text of {}", passage.bytes.begin,
                             passage.bytes.end, write.document.text.size()));
  }
  if (passage.lines.first < 0 || passage.lines.first > passage.lines.last) {
    return wrong(fmt::format("lines {} to {}", passage.lines.first, passage.lines.last));
  }
  if (passage.token_count < 0) return wrong(fmt::format("{} tokens", passage.token_count));
  return {};
}

Status check_space(const Batch& batch, const Collection& collection) {
  const auto mismatch = [&](const std::string& what) {
    return Status(
        StatusCode::kModelMismatch,
        fmt::format("collection '{}' {}; use the model it was made with, another "
                    "collection, or bring this one to the new model with `nestor reembed`",
                    collection.name, what));
  };
  if (collection.width != 0 && batch.width != collection.width) {
    return mismatch(
        fmt::format("has vectors of width {}, these are {} wide", collection.width, batch.width));
  }
  if (!collection.external && !collection.space.empty() && batch.space != collection.space) {
    return mismatch(fmt::format("belongs to the vector space {} ({}), these rows to {} ({})",
                                collection.space, collection.model, batch.space, batch.model));
  }
  return {};
}

// The next id after `count` more rows, or nothing left to give.
bool ids_left(std::uint64_t next, std::size_t count) {
  return next <= std::numeric_limits<std::uint64_t>::max() - count;
}

bool is_collection_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

Status check_descriptor(const CollectionDescriptor& descriptor) {
  if (!is_collection_name(descriptor.name)) {
    return {StatusCode::kInvalidArgument,
            quote_for_message(descriptor.name) +
                " cannot name a collection: 1 to 64 of [A-Za-z0-9._-], not starting with a dot"};
  }
  if (descriptor.dim < (descriptor.user_vectors ? 1 : 0) || descriptor.dim > 65'536) {
    return {StatusCode::kInvalidArgument,
            fmt::format("collection '{}': vectors of {} components, expected 1 to 65,536",
                        descriptor.name, descriptor.dim)};
  }
  if (descriptor.metric != Metric::kCosine && !descriptor.user_vectors) {
    return {StatusCode::kInvalidArgument,
            fmt::format("collection '{}': its vectors are the model's, which are compared by "
                        "cosine, not by {}",
                        descriptor.name, metric_name(descriptor.metric))};
  }
  return {};
}

Status check_batch(const Batch& batch, const Collection& collection) {
  std::set<std::string_view> keys;
  for (const std::string& key : batch.removals) {
    NESTOR_CHECK(keys.insert(key).second, "a key stands twice in one batch");
  }
  for (const MetadataWrite& change : batch.metadata_writes) {
    NESTOR_CHECK(keys.insert(change.key).second, "a key stands twice in one batch");
  }
  if (!batch.writes.empty()) {
    NESTOR_CHECK(batch.width > 0 && batch.width <= 65'536, "the batch has no width");
    NESTOR_RETURN_IF_ERROR(check_space(batch, collection));
  }
  for (const DocumentWrite& write : batch.writes) {
    NESTOR_CHECK(keys.insert(write.document.key).second, "a key stands twice in one batch");
    NESTOR_CHECK(!write.rows.empty(), "a document without rows");
    NESTOR_RETURN_IF_ERROR(check_key(write.document.key));
    for (const Row& row : write.rows) NESTOR_RETURN_IF_ERROR(check_row(write, row, batch.width));
    NESTOR_RETURN_IF_ERROR(check_terms(write));
  }
  return {};
}

CommitPlan::CommitPlan(const RecordSource& source, CollectionRecord record, StoreState state)
    : source_(source),
      record_(std::move(record)),
      state_(state),
      terms_(source, record_.collection.id, record_.collection.sequence == 0),
      damaged_(source, record_.collection),
      first_new_row_id_(record_.collection.next_row_id) {}

Status CommitPlan::add(const Batch& batch) {
  Collection& collection = record_.collection;
  if (!batch.writes.empty() && collection.width == 0) collection.width = batch.width;
  if (!batch.writes.empty() && !collection.external && collection.space.empty()) {
    collection.space = batch.space;
    collection.model = batch.model;
  }
  if (!batch.writes.empty()) NESTOR_RETURN_IF_ERROR(terms_.use_analysis(batch.analysis));
  for (const std::string& key : batch.removals) {
    NESTOR_ASSIGN_OR_RETURN(const bool was_there, take_away(key));
    if (was_there) ++commit_.removed_documents;
  }
  for (const DocumentWrite& document : batch.writes) {
    NESTOR_ASSIGN_OR_RETURN([[maybe_unused]] const bool replaced, take_away(document.document.key));
    NESTOR_RETURN_IF_ERROR(write(document));
    NESTOR_RETURN_IF_ERROR(check_size(batch.writes.size()));
  }
  for (const MetadataWrite& change : batch.metadata_writes) {
    NESTOR_RETURN_IF_ERROR(change_metadata(change));
    NESTOR_RETURN_IF_ERROR(check_size(batch.metadata_writes.size()));
  }
  return {};
}

Status CommitPlan::check_size(std::size_t document_count) {
  if (batch_.GetDataSize() + fields_.bytes() <= kMostBatchBytes) return {};
  return {StatusCode::kInvalidArgument,
          fmt::format("a batch of {} documents is over {} bytes; split it", document_count,
                      kMostBatchBytes)};
}

void CommitPlan::begin_collection() {
  put_field_marker(record_.collection.id, batch_);
  put_content_marker(record_.collection.id, {.complete = true}, batch_);
}

void CommitPlan::set_attribute(const std::string& name, const std::string& value) {
  if (value.empty()) {
    record_.collection.attributes.erase(name);
  } else {
    record_.collection.attributes[name] = value;
  }
}

Status CommitPlan::read_old(const std::string& record_key, const std::string& value,
                            StoredDocument& old, std::vector<Row>& rows,
                            std::vector<std::string>& row_values) const {
  const Collection& collection = record_.collection;
  NESTOR_ASSIGN_OR_RETURN(old, decode_document(record_key, value));
  if (old.first_row_id >= collection.next_row_id ||
      static_cast<std::uint64_t>(old.passage_count) > collection.next_row_id - old.first_row_id) {
    return damaged_record(record_key, "it names rows that were never given out");
  }
  std::vector<std::string> row_keys;
  for (std::int64_t i = 0; i < old.passage_count; ++i) {
    row_keys.push_back(row_key(collection.id, old.first_row_id + static_cast<std::uint64_t>(i)));
  }
  return source_.get_all(row_keys, [&](std::size_t i, std::string_view row_value) -> Status {
    NESTOR_ASSIGN_OR_RETURN(Row row, decode_row(row_keys[i], row_value, collection.width));
    rows.push_back(std::move(row));
    row_values.emplace_back(row_value);
    return {};
  });
}

Result<bool> CommitPlan::take_away(const std::string& key) {
  Collection& collection = record_.collection;
  const std::string record_key = document_key(collection.id, key);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source_.get(record_key));
  if (!value) return false;
  StoredDocument old;
  std::vector<Row> rows;
  std::vector<std::string> row_values;
  Status readable = read_old(record_key, *value, old, rows, row_values);
  if (readable.ok()) readable = terms_.take_away(old.first_row_id, batch_);
  if (readable.code() == StatusCode::kDataLoss) {
    NESTOR_RETURN_IF_ERROR(
        damaged_.take_away(key, *value, terms_, collection, batch_, commit_.removed_row_ids));
    return true;
  }
  NESTOR_RETURN_IF_ERROR(readable);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string removed = row_key(collection.id, rows[i].id);
    commit_.removed_row_ids.push_back(rows[i].id);
    count_row(rows[i], -1);
    take_from_digest(collection.digest, removed, row_values[i]);
    batch_.Delete(removed);
    remove_content(collection.id, rows[i], batch_);
  }
  take_from_digest(collection.digest, record_key, *value);
  batch_.Delete(record_key);
  fields_.remove(collection.id, old);
  --collection.documents;
  collection.text_bytes -= static_cast<std::int64_t>(old.document.text.size());
  return true;
}

Status CommitPlan::write(const DocumentWrite& write) {
  Collection& collection = record_.collection;
  if (!ids_left(collection.next_row_id, write.rows.size())) {
    return {StatusCode::kInternal, "collection " + collection.name + " has no row ids left"};
  }
  StoredDocument stored{.document = write.document,
                        .first_row_id = collection.next_row_id,
                        .passage_count = static_cast<std::int64_t>(write.rows.size()),
                        .split_tokens = write.split_tokens};
  const std::string record_key = document_key(collection.id, write.document.key);
  const std::string value = encode_document(record_key, stored);
  batch_.Put(record_key, value);
  fields_.put(collection.id, stored);
  add_to_digest(collection.digest, record_key, value);
  ++collection.documents;
  collection.text_bytes += static_cast<std::int64_t>(write.document.text.size());
  NESTOR_RETURN_IF_ERROR(terms_.write(stored.first_row_id, write.rows.size(), write.terms, batch_));
  std::int64_t passage_index = 0;
  for (Row row : write.rows) {
    row.id = collection.next_row_id++;
    row.document_key = write.document.key;
    row.passage.index = passage_index++;
    const std::string key = row_key(collection.id, row.id);
    const std::string row_value = encode_row(key, row);
    batch_.Put(key, row_value);
    put_content(collection.id, row, batch_);
    add_to_digest(collection.digest, key, row_value);
    count_row(row, 1);
    commit_.row_ids.push_back(row.id);
  }
  return {};
}

Status CommitPlan::change_metadata(const MetadataWrite& change) {
  Collection& collection = record_.collection;
  const std::string record_key = document_key(collection.id, change.key);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source_.get(record_key));
  if (!value) return {};
  NESTOR_ASSIGN_OR_RETURN(StoredDocument stored, decode_document(record_key, *value));
  take_from_digest(collection.digest, record_key, *value);
  fields_.remove(collection.id, stored);
  stored.document.metadata = change.metadata;
  const std::string changed = encode_document(record_key, stored);
  batch_.Put(record_key, changed);
  add_to_digest(collection.digest, record_key, changed);
  fields_.put(collection.id, stored);
  ++commit_.changed_documents;
  return {};
}

void CommitPlan::count_row(const Row& row, std::int64_t sign) {
  Collection& collection = record_.collection;
  collection.passages += sign;
  if (row.passage.truncated) collection.truncated_passages += sign;
  const auto mode = static_cast<std::uint8_t>(row.passage.mode);
  if ((collection.rows_by_mode[mode] += sign) == 0) collection.rows_by_mode.erase(mode);
}

Status CommitPlan::finish() {
  fields_.write_to(batch_);
  Collection& collection = record_.collection;
  const std::uint64_t previous_sequence = collection.sequence;
  collection.sequence = ++state_.sequence;
  const JournalEntry entry{.sequence = collection.sequence,
                           .previous_sequence = previous_sequence,
                           .first_new_row_id = first_new_row_id_,
                           .digest = collection.digest,
                           .removed_row_ids = commit_.removed_row_ids};
  NESTOR_RETURN_IF_ERROR(append_journal(source_, entry, record_, batch_));
  terms_.finish(batch_);
  const std::string key = catalog_key(collection.name);
  batch_.Put(key, encode_collection(key, record_));
  const std::string state_key = meta_key(kStateName);
  batch_.Put(state_key, encode_state(state_key, state_));
  commit_.sequence = collection.sequence;
  commit_.collection = collection;
  return {};
}

}  // namespace nestor::storage
