#include "storage/store_verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/macros.h"
#include "core/text.h"
#include "core/vector_math.h"
#include "storage/content_verifier.h"
#include "storage/field_verifier.h"
#include "storage/journal.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/shadow_collection.h"
#include "storage/term_verifier.h"

namespace nestor::storage {
namespace {

// A wholly damaged store must not fill the memory with sentences.
constexpr std::size_t kMostProblems = 1'000;

// What a document says of its rows; matched with them when they come by in id order.
struct DocumentRows {
  std::uint64_t first_row_id = 0;
  std::int64_t count = 0;
  std::int64_t text_bytes = 0;
  std::string key;
};

struct CollectionCheck {
  CollectionRecord record;
  Collection found;  // counts and digest as they add up
  std::vector<DocumentRows> documents;
  std::size_t next_document = 0;  // the one whose rows come by
  std::int64_t rows_seen = 0;     // of that one
  FieldVerifier fields;
  ContentVerifier contents;
  TermVerifier terms;
};

// Keys come in the order of their tags: collections, documents, field index, content index,
// journal, totals of terms, meta, postings, rows, lists of terms (key_schema.h).
class StoreVerifier {
 public:
  StoreVerifier(const RecordSource& source, std::stop_token stop)
      : source_(source), stop_(std::move(stop)) {}

  Result<VerifyReport> run();

 private:
  void problem(std::string sentence);
  // Damage is a problem of the report, everything else ends the call.
  Status note(const Status& status);
  Status on_record(std::string_view key, std::string_view value);
  Status on_collection(std::string_view key, std::string_view value);
  Status on_document(CollectionCheck& check, std::string_view key, std::string_view value);
  Status on_row(CollectionCheck& check, std::string_view key, std::string_view value);
  void check_row(CollectionCheck& check, const Row& row);
  void finish_document(CollectionCheck& check);
  void begin_rows();
  Status finish_collection(CollectionCheck& check);
  void compare_counts(const CollectionCheck& check);

  const RecordSource& source_;
  const std::stop_token stop_;
  VerifyReport report_;
  std::map<std::uint32_t, CollectionCheck> collections_;
  bool rows_begun_ = false;
  std::uint64_t highest_sequence_ = 0;
};

void StoreVerifier::problem(std::string sentence) {
  if (report_.problems.size() < kMostProblems) {
    report_.problems.push_back(std::move(sentence));
  } else if (report_.problems.size() == kMostProblems) {
    report_.problems.push_back("there are more problems, which are not listed");
  }
}

Status StoreVerifier::note(const Status& status) {
  if (status.code() != StatusCode::kDataLoss && status.code() != StatusCode::kUnsupported) {
    return status;
  }
  problem(status.message());
  return {};
}

Result<VerifyReport> StoreVerifier::run() {
  NESTOR_RETURN_IF_ERROR(note(source_.check_tables()));
  const Status scanned =
      source_.scan("", "", [&](std::string_view key, std::string_view value) -> Result<bool> {
        if (stop_.stop_requested()) return Status(StatusCode::kCancelled, "verify was stopped");
        NESTOR_RETURN_IF_ERROR(on_record(key, value));
        return true;
      });
  NESTOR_RETURN_IF_ERROR(note(scanned));
  if (!rows_begun_) begin_rows();
  for (auto& [id, check] : collections_) NESTOR_RETURN_IF_ERROR(finish_collection(check));
  const Result<StoreState> state = source_.state();
  NESTOR_RETURN_IF_ERROR(note(state.status()));
  NESTOR_RETURN_IF_ERROR(note(source_.format().status()));
  if (state.ok() && state.value().sequence != highest_sequence_) {
    problem(fmt::format("the store is at batch {}, its collections end at {}",
                        state.value().sequence, highest_sequence_));
  }
  return std::move(report_);
}

Status StoreVerifier::on_record(std::string_view key, std::string_view value) {
  const std::optional<ParsedKey> parsed = parse_key(key);
  if (!parsed) {
    problem(describe_key(key) + " is in the store, and nothing of Nestor's has such a key");
    return {};
  }
  if (parsed->tag == KeyTag::kCatalog) return on_collection(key, value);
  if (parsed->tag == KeyTag::kMeta) return {};
  const auto found = collections_.find(parsed->collection);
  if (found == collections_.end()) {
    problem(describe_key(key) + " belongs to no collection that is there");
    return {};
  }
  if (parsed->tag == KeyTag::kDocument) return on_document(found->second, key, value);
  if (parsed->tag == KeyTag::kField) return note(found->second.fields.on_entry(key, value));
  if (parsed->tag == KeyTag::kContent) return note(found->second.contents.on_entry(key, value));
  if (parsed->tag == KeyTag::kRow) return on_row(found->second, key, value);
  if (parsed->tag == KeyTag::kJournal) return {};
  return note(found->second.terms.on_record(*parsed, key, value)
                  .with_context("collection '" + found->second.record.collection.name + "'"));
}

Status StoreVerifier::on_collection(std::string_view key, std::string_view value) {
  Result<CollectionRecord> record = decode_collection(key, value);
  if (!record.ok()) return note(record.status());
  const std::uint32_t id = record.value().collection.id;
  highest_sequence_ = std::max(highest_sequence_, record.value().collection.sequence);
  const std::string name = record.value().collection.name;
  if (!collections_
           .try_emplace(id, CollectionCheck{.record = std::move(record).value(),
                                            .found = {},
                                            .documents = {},
                                            .fields = {},
                                            .contents = {},
                                            .terms = {}})
           .second) {
    problem(fmt::format("collection '{}' has the id {} of another", name, id));
  }
  return {};
}

Status StoreVerifier::on_document(CollectionCheck& check, std::string_view key,
                                  std::string_view value) {
  add_to_digest(check.found.digest, key, value);
  ++check.found.documents;
  if (!is_shadow_name(check.record.collection.name)) ++report_.documents;
  Result<StoredDocument> stored = decode_document(key, value);
  if (!stored.ok()) {
    return note(stored.status().with_context("collection '" + check.record.collection.name + "'"));
  }
  StoredDocument document = std::move(stored).value();
  check.terms.on_document(document);
  const auto text_bytes = static_cast<std::int64_t>(document.document.text.size());
  check.found.text_bytes += text_bytes;
  check.fields.on_document(check.record.collection.id, document);
  check.documents.push_back({.first_row_id = document.first_row_id,
                             .count = document.passage_count,
                             .text_bytes = text_bytes,
                             .key = std::move(document.document.key)});
  return {};
}

void StoreVerifier::begin_rows() {
  rows_begun_ = true;
  for (auto& [id, check] : collections_) {
    std::sort(check.documents.begin(), check.documents.end(),
              [](const auto& a, const auto& b) { return a.first_row_id < b.first_row_id; });
  }
}

Status StoreVerifier::on_row(CollectionCheck& check, std::string_view key, std::string_view value) {
  if (!rows_begun_) begin_rows();
  add_to_digest(check.found.digest, key, value);
  ++check.found.passages;
  if (!is_shadow_name(check.record.collection.name)) ++report_.passages;
  const Result<Row> row = decode_row(key, value, check.record.collection.width);
  if (!row.ok()) {
    return note(row.status().with_context("collection '" + check.record.collection.name + "'"));
  }
  ++check.found.rows_by_mode[static_cast<std::uint8_t>(row.value().passage.mode)];
  if (row.value().passage.truncated) ++check.found.truncated_passages;
  check.contents.on_row(check.record.collection.id, row.value());
  check_row(check, row.value());
  return {};
}

void StoreVerifier::check_row(CollectionCheck& check, const Row& row) {
  const Collection& collection = check.record.collection;
  const std::string where = fmt::format("collection '{}', row {}", collection.name, row.id);
  if (row.id >= collection.next_row_id) {
    problem(fmt::format("{}: the next id to be given out is {}", where, collection.next_row_id));
  }
  if (!all_finite(row.vector)) problem(where + ": its vector holds a NaN or an infinity");
  while (check.next_document < check.documents.size()) {
    const DocumentRows& document = check.documents[check.next_document];
    if (row.id - document.first_row_id < static_cast<std::uint64_t>(document.count) ||
        row.id < document.first_row_id) {
      break;
    }
    finish_document(check);
  }
  const std::string key = quote_for_message(row.document_key);
  if (check.next_document == check.documents.size() ||
      row.id < check.documents[check.next_document].first_row_id) {
    problem(fmt::format("{}: no document counts it among its rows (it names {})", where, key));
    return;
  }
  const DocumentRows& document = check.documents[check.next_document];
  ++check.rows_seen;
  if (row.document_key != document.key) {
    problem(fmt::format("{}: it names document {}, but belongs to {}", where, key,
                        quote_for_message(document.key)));
  }
  const std::uint64_t index = row.id - document.first_row_id;
  if (static_cast<std::uint64_t>(row.passage.index) != index) {
    problem(fmt::format("{}: it says passage {} of {}, expected {}", where, row.passage.index, key,
                        index));
  }
  if (row.passage.bytes.end > document.text_bytes) {
    problem(fmt::format("{}: it ends at byte {} of {}, whose text has {}", where,
                        row.passage.bytes.end, key, document.text_bytes));
  }
}

void StoreVerifier::finish_document(CollectionCheck& check) {
  const DocumentRows& document = check.documents[check.next_document++];
  if (const std::int64_t seen = std::exchange(check.rows_seen, 0); seen != document.count) {
    problem(fmt::format("collection '{}', document {}: {} of its {} rows are there",
                        check.record.collection.name, quote_for_message(document.key), seen,
                        document.count));
  }
}

Status StoreVerifier::finish_collection(CollectionCheck& check) {
  while (check.next_document < check.documents.size()) finish_document(check);
  compare_counts(check);
  const Collection& collection = check.record.collection;
  const IndexSink sink{
      .problem = [this](std::string sentence) { problem(std::move(sentence)); },
      .note = [this](std::string sentence) { report_.notes.push_back(std::move(sentence)); }};
  check.terms.finish(collection.name, sink.problem);
  NESTOR_RETURN_IF_ERROR(note(check.fields.finish(source_, collection, sink)));
  NESTOR_RETURN_IF_ERROR(note(check.contents.finish(source_, collection, sink)));
  return note(check_journal(source_, check.record));
}

void StoreVerifier::compare_counts(const CollectionCheck& check) {
  const Collection& stated = check.record.collection;
  const Collection& found = check.found;
  const auto compare = [&](const char* what, std::int64_t a, std::int64_t b) {
    if (a != b) {
      problem(fmt::format("collection '{}': {} {} are there, {} are on record", stated.name,
                          with_thousands(b), what, with_thousands(a)));
    }
  };
  compare("documents", stated.documents, found.documents);
  compare("passages", stated.passages, found.passages);
  compare("bytes of text", stated.text_bytes, found.text_bytes);
  compare("truncated passages", stated.truncated_passages, found.truncated_passages);
  if (stated.rows_by_mode != found.rows_by_mode) {
    problem(fmt::format("collection '{}': the rows by numeric mode are not those on record",
                        stated.name));
  }
  if (stated.digest != found.digest) {
    problem(fmt::format(
        "collection '{}': the digest of what is there is {:016x}{:016x}, on record "
        "is {:016x}{:016x}: records are missing, stale or foreign",
        stated.name, found.digest.high, found.digest.low, stated.digest.high, stated.digest.low));
  }
}

}  // namespace

Result<VerifyReport> verify_records(const RecordSource& source, std::stop_token stop) {
  return StoreVerifier(source, std::move(stop)).run();
}

}  // namespace nestor::storage
