#include "storage/repair_writer.h"

#include <algorithm>

#include "core/macros.h"
#include "storage/key_schema.h"
#include "storage/recount.h"

namespace nestor::storage {
namespace {

constexpr std::size_t kBatchBytes = std::size_t{4} << 20;

}  // namespace

Status RepairWriter::on_record(std::string_view key, std::string_view value) {
  const std::optional<ParsedKey> parsed = parse_key(key);
  if (!parsed) return drop(key, value);
  const Survey& survey = plan_.survey;
  if (parsed->tag == KeyTag::kMeta) {
    return parsed->name == kStateName || parsed->name == kFormatName ? Status() : drop(key, value);
  }
  if (parsed->tag == KeyTag::kCatalog) {
    const auto same =
        std::find_if(survey.collections.begin(), survey.collections.end(), [&](const auto& entry) {
          return entry.second.record && entry.second.name == parsed->name;
        });
    if (same == survey.collections.end()) return drop(key, value);
    return plan_.fresh ? Status() : keep(key, value);  // a new one gets new records
  }
  const auto found = survey.collections.find(parsed->collection);
  if (found == survey.collections.end()) {
    if (!plan_.fresh) batch_.Delete(std::string(key));  // derived from what is not there
    return {};
  }
  if (parsed->tag == KeyTag::kDocument) return on_document(found->second, key, value);
  if (parsed->tag == KeyTag::kRow) return on_row(found->second, key, value);
  return {};  // derived: finish() sees to it
}

Status RepairWriter::on_document(const SurveyedCollection& collection, std::string_view key,
                                 std::string_view value) {
  const Result<StoredDocument> document = decode_document(key, value);
  if (!document.ok()) return drop(key, value);
  const auto surveyed = collection.documents.find(document.value().document.key);
  if (surveyed == collection.documents.end() || !surveyed->second.whole()) {
    NESTOR_RETURN_IF_ERROR(lost_.put_document(collection.name, document.value().document));
    return drop(key, value);
  }
  count_document(kept_[collection.id], key, value, &document.value());
  return keep(key, value);
}

Status RepairWriter::on_row(const SurveyedCollection& collection, std::string_view key,
                            std::string_view value) {
  const Result<Row> row = decode_row(key, value, collection.width);
  if (!row.ok() || !collection.fits(row.value()) ||
      !collection.documents.at(row.value().document_key).whole()) {
    return drop(key, value);
  }
  count_row(kept_[collection.id], key, value, &row.value());
  return keep(key, value);
}

Status RepairWriter::keep(std::string_view key, std::string_view value) {
  if (!plan_.fresh) return {};
  batch_.Put(rocksdb::Slice(key.data(), key.size()), rocksdb::Slice(value.data(), value.size()));
  return batch_.GetDataSize() < kBatchBytes ? Status() : flush_(batch_);
}

Status RepairWriter::drop(std::string_view key, std::string_view value) {
  if (!plan_.fresh) batch_.Delete(std::string(key));
  return lost_.put_record(key, value);
}

void RepairWriter::delete_range(KeyTag tag, std::uint32_t collection) {
  const std::string prefix = key_prefix(tag, collection);
  if (!plan_.fresh) batch_.DeleteRange(prefix, prefix_end(prefix));
}

void RepairWriter::finish() {
  const Survey& survey = plan_.survey;
  const std::uint64_t base = std::max(survey.highest_sequence, plan_.watermark);
  std::uint64_t highest = 0;
  std::uint64_t next = base;
  std::uint32_t next_id = survey.state ? survey.state->next_collection_id : 1;
  // Where the newest batch is gone, another one has to bear its number.
  const bool all = plan_.fresh || plan_.watermark == 0 || plan_.watermark > survey.highest_sequence;
  for (const auto& [id, collection] : survey.collections) {
    next_id = std::max(next_id, id + 1);
    if (plan_.verdict.without_fields.contains(id)) delete_range(KeyTag::kField, id);
    if (plan_.verdict.without_contents.contains(id)) delete_range(KeyTag::kContent, id);
    if (plan_.verdict.without_terms.contains(id)) {
      delete_range(KeyTag::kPosting, id);
      delete_range(KeyTag::kDocumentTerms, id);
      if (!plan_.fresh) batch_.Delete(term_totals_key(id));
    }
    if (all || plan_.verdict.rewritten.contains(id)) {
      rewrite(collection, ++next);
      highest = next;
    } else {
      highest = std::max(highest, collection.record->collection.sequence);
    }
  }
  state_ = {.sequence = highest, .next_collection_id = next_id};
  const std::string state_key = meta_key(kStateName);
  batch_.Put(state_key, encode_state(state_key, state_));
  const std::string format_key = meta_key(kFormatName);
  batch_.Put(format_key, encode_format(format_key, plan_.format));
}

void RepairWriter::rewrite(const SurveyedCollection& surveyed, std::uint64_t sequence) {
  const Collection& kept = kept_[surveyed.id];
  CollectionRecord record;
  if (surveyed.record) {
    record = *surveyed.record;
  } else {
    record.collection.id = surveyed.id;
    record.collection.name = surveyed.name;
    record.collection.width = surveyed.width;
    record.collection.external =
        kept.rows_by_mode.contains(static_cast<std::uint8_t>(NumericMode::kExternal));
    if (!record.collection.external && plan_.space_of) {
      record.collection.space = plan_.space_of(surveyed.id);
    }
  }
  Collection& collection = record.collection;
  collection.documents = kept.documents;
  collection.passages = kept.passages;
  collection.text_bytes = kept.text_bytes;
  collection.truncated_passages = kept.truncated_passages;
  collection.rows_by_mode = kept.rows_by_mode;
  collection.digest = kept.digest;
  collection.sequence = sequence;
  // No id is given out twice: a cache or a reader may know one of a row that is gone.
  collection.next_row_id = std::max(collection.next_row_id, surveyed.highest_row_id + 1);
  for (const auto& [key, document] : surveyed.documents) {
    collection.next_row_id = std::max(
        collection.next_row_id, document.first_row_id + static_cast<std::uint64_t>(document.count));
  }
  delete_range(KeyTag::kJournal, surveyed.id);
  record.journal = {.first_sequence = sequence, .entry_count = 1, .removed_count = 0};
  const std::string entry_key = journal_key(surveyed.id, sequence);
  batch_.Put(entry_key, encode_journal_entry(entry_key, {.sequence = sequence,
                                                         .previous_sequence = 0,
                                                         .first_new_row_id = 1,
                                                         .digest = collection.digest,
                                                         .removed_row_ids = {}}));
  const std::string key = catalog_key(collection.name);
  batch_.Put(key, encode_collection(key, record));
}

}  // namespace nestor::storage
