#include "storage/repair_survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/macros.h"
#include "core/vector_math.h"
#include "storage/content_verifier.h"
#include "storage/field_index.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"
#include "storage/recount.h"
#include "storage/term_verifier.h"

namespace nestor::storage {
namespace {

class Surveyor {
 public:
  Surveyor(const RecordScan& scan, const std::stop_token& stop) : scan_(scan), stop_(stop) {}

  Result<Survey> run() {
    const RecordSource::Visitor visit = [&](std::string_view key,
                                            std::string_view value) -> Result<bool> {
      if (stop_.stop_requested()) return Status(StatusCode::kCancelled, "repair was stopped");
      NESTOR_RETURN_IF_ERROR(on_record(key, value));
      return true;
    };
    NESTOR_RETURN_IF_ERROR(scan_(visit));
    for (auto& [id, collection] : survey_.collections) finish(collection);
    give_names();
    return std::move(survey_);
  }

 private:
  // Derived records, which are compared in sums only.
  struct Derived {
    Hash128 fields_expected;
    Hash128 fields_found;
    bool fields_complete = false;
    bool fields_damaged = false;
    ContentVerifier contents;
    TermVerifier terms;
  };

  // A newer version is no damage: nothing may be repaired that this program does not understand.
  template <typename T>
  Status only_newer(const Result<T>& decoded) {
    return decoded.status().code() == StatusCode::kUnsupported ? decoded.status() : Status();
  }

  Status on_record(std::string_view key, std::string_view value) {
    const std::optional<ParsedKey> parsed = parse_key(key);
    if (!parsed) {
      survey_.foreign.emplace_back(key);
      return {};
    }
    if (parsed->tag == KeyTag::kCatalog) return on_catalog(*parsed, key, value);
    if (parsed->tag == KeyTag::kMeta) return on_meta(*parsed, key, value);
    SurveyedCollection& collection = survey_.collections[parsed->collection];
    collection.id = parsed->collection;
    switch (parsed->tag) {
      case KeyTag::kDocument:
        return on_document(collection, key, value);
      case KeyTag::kRow:
        return on_row(collection, parsed->number, key, value);
      case KeyTag::kJournal:
        return on_journal(collection, key, value);
      case KeyTag::kField:
        on_field(parsed->collection, *parsed, key, value);
        return {};
      case KeyTag::kContent:
        static_cast<void>(derived_[parsed->collection].contents.on_entry(key, value));
        return {};
      default:
        if (!derived_[parsed->collection].terms.on_record(*parsed, key, value).ok()) {
          collection.terms_bad = true;
        }
        return {};
    }
  }

  Status on_catalog(const ParsedKey& parsed, std::string_view key, std::string_view value) {
    Result<CollectionRecord> record = decode_collection(key, value);
    if (!record.ok()) {
      survey_.nameless.emplace_back(parsed.name);
      return only_newer(record);
    }
    const std::uint32_t id = record.value().collection.id;
    SurveyedCollection& collection = survey_.collections[id];
    if (collection.record) {  // two names of one id
      survey_.foreign.emplace_back(key);
      return {};
    }
    collection.id = id;
    collection.name = parsed.name;
    collection.width = record.value().collection.width;
    survey_.highest_sequence =
        std::max(survey_.highest_sequence, record.value().collection.sequence);
    collection.record = std::move(record).value();
    return {};
  }

  Status on_meta(const ParsedKey& parsed, std::string_view key, std::string_view value) {
    if (parsed.name == kStateName) {
      const Result<StoreState> state = decode_state(key, value);
      if (state.ok()) survey_.state = state.value();
      return only_newer(state);
    }
    if (parsed.name == kFormatName) {
      const Result<StoreFormat> format = decode_format(key, value);
      if (format.ok()) survey_.format = format.value();
      return only_newer(format);
    }
    survey_.foreign.emplace_back(key);
    return {};
  }

  Status on_document(SurveyedCollection& collection, std::string_view key, std::string_view value) {
    const Result<StoredDocument> document = decode_document(key, value);
    count_document(collection.found, key, value, document.ok() ? &document.value() : nullptr);
    if (!document.ok()) {
      collection.damaged_documents.emplace_back(parse_key(key)->name);
      return only_newer(document);
    }
    const StoredDocument& stored = document.value();
    Derived& derived = derived_[collection.id];
    for (const auto& [entry, entry_value] : field_entries(collection.id, stored)) {
      add_to_digest(derived.fields_expected, entry, entry_value);
    }
    derived.terms.on_document(stored);
    collection.documents[stored.document.key] = {
        .first_row_id = stored.first_row_id,
        .count = stored.passage_count,
        .text_bytes = static_cast<std::int64_t>(stored.document.text.size())};
    return {};
  }

  Status on_row(SurveyedCollection& collection, std::uint64_t id, std::string_view key,
                std::string_view value) {
    if (collection.width == 0) {
      if (const Result<int> width = decode_row_width(key, value); width.ok()) {
        collection.width = width.value();
      }
    }
    const Result<Row> row = decode_row(key, value, collection.width);
    count_row(collection.found, key, value, row.ok() ? &row.value() : nullptr);
    collection.highest_row_id = std::max(collection.highest_row_id, id);
    if (row.ok()) derived_[collection.id].contents.on_row(collection.id, row.value());
    if (row.ok() && collection.fits(row.value())) {
      ++collection.documents.at(row.value().document_key).rows_seen;
      return {};
    }
    collection.bad_rows.push_back(id);
    return only_newer(row);
  }

  Status on_journal(SurveyedCollection& collection, std::string_view key, std::string_view value) {
    const Result<JournalEntry> entry = decode_journal_entry(key, value);
    if (!entry.ok()) return only_newer(entry);
    survey_.highest_sequence = std::max(survey_.highest_sequence, entry.value().sequence);
    if (entry.value().sequence >= collection.newest_journal) {
      collection.newest_journal = entry.value().sequence;
      collection.journal_digest = entry.value().digest;
    }
    return {};
  }

  void on_field(std::uint32_t id, const ParsedKey& parsed, std::string_view key,
                std::string_view value) {
    Derived& derived = derived_[id];
    if (!open_record(key, value).ok()) derived.fields_damaged = true;
    if (parsed.name.empty()) {
      derived.fields_complete = true;
    } else {
      add_to_digest(derived.fields_found, key, value);
    }
  }

  void finish(SurveyedCollection& collection) {
    Derived& derived = derived_[collection.id];
    // No marker: an older format, or a building that is still to be done by the next open.
    collection.fields_bad =
        derived.fields_damaged ||
        (derived.fields_complete && derived.fields_expected != derived.fields_found);
    collection.contents_bad = derived.contents.is_bad();
    derived.terms.finish(collection.name, [&](const std::string&) { collection.terms_bad = true; });
  }

  // One damaged record of a collection and one collection without a record are the same.
  void give_names() {
    std::vector<std::uint32_t> unnamed;
    std::vector<std::uint32_t> left_over;
    for (auto& [id, collection] : survey_.collections) {
      if (collection.record) continue;
      const bool empty = collection.documents.empty() && collection.damaged_documents.empty() &&
                         collection.bad_rows.empty() && collection.newest_journal == 0;
      (empty ? left_over : unnamed).push_back(id);
    }
    for (const std::uint32_t id : left_over) {
      survey_.foreign.push_back(fmt::format("derived records of collection {}", id));
      survey_.collections.erase(id);
    }
    if (unnamed.size() == 1 && survey_.nameless.size() == 1) {
      survey_.collections[unnamed.front()].name = survey_.nameless.front();
      return;
    }
    for (const std::uint32_t id : unnamed) {
      survey_.collections[id].name = fmt::format("recovered-{}", id);
    }
  }

  const RecordScan& scan_;
  const std::stop_token& stop_;
  Survey survey_;
  std::map<std::uint32_t, Derived> derived_;
};

}  // namespace

bool SurveyedCollection::fits(const Row& row) const {
  const auto named = documents.find(row.document_key);
  if (named == documents.end() || !all_finite(row.vector)) return false;
  const SurveyedDocument& document = named->second;
  const std::uint64_t index = row.id - document.first_row_id;
  return index < static_cast<std::uint64_t>(document.count) &&
         static_cast<std::uint64_t>(row.passage.index) == index &&
         row.passage.bytes.end <= document.text_bytes;
}

std::int64_t SurveyedCollection::whole_documents() const {
  return std::count_if(documents.begin(), documents.end(),
                       [](const auto& entry) { return entry.second.whole(); });
}

Result<Survey> survey_records(const RecordScan& scan, const std::stop_token& stop) {
  return Surveyor(scan, stop).run();
}

}  // namespace nestor::storage
