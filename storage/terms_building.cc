// RocksdbStore::build_postings: what a database of format 1, or a change of language, needs.
#include "core/macros.h"
#include "core/text.h"
#include "storage/key_schema.h"
#include "storage/planned_commit.h"

namespace nestor::storage {
namespace {

// A batch ends with the document that passes this: it is in memory several times over.
constexpr std::size_t kBatchTextBytes = std::size_t{4} << 20;
constexpr int kMostVisited = 1'000;  // documents a batch, with postings already or without

Result<std::vector<Row>> rows_of(const RecordSource& source, const Collection& collection,
                                 const StoredDocument& document) {
  std::vector<std::string> keys;
  for (std::int64_t i = 0; i < document.passage_count; ++i) {
    keys.push_back(row_key(collection.id, document.first_row_id + static_cast<std::uint64_t>(i)));
  }
  std::vector<Row> rows(keys.size());
  NESTOR_RETURN_IF_ERROR(source.get_all(keys, [&](std::size_t i, std::string_view value) -> Status {
    NESTOR_ASSIGN_OR_RETURN(rows[i], decode_row(keys[i], value, collection.width));
    return {};
  }));
  return rows;
}

}  // namespace

Status RocksdbStore::build_postings(const std::string& collection, const std::string& analysis,
                                    const TermMaker& make, std::stop_token stop,
                                    const ApplyFunction& apply_function) {
  const auto applied = [&](Result<PreparedPointer> prepared) -> Status {
    NESTOR_RETURN_IF_ERROR(prepared.status());
    return apply_function ? apply_function(*prepared.value()) : apply(*prepared.value());
  };
  return guarded([&]() -> Status {
    NESTOR_RETURN_IF_ERROR(check_writable());
    NESTOR_ASSIGN_OR_RETURN(const CollectionRecord record, require_collection(collection));
    NESTOR_ASSIGN_OR_RETURN(const TermTotals totals,
                            read_term_totals(newest(), record.collection.id));
    if (totals.complete && totals.analysis == analysis) return {};
    if (totals.analysis != analysis) {
      NESTOR_RETURN_IF_ERROR(applied(plan_clearing(record, analysis)));
    }
    std::string after;
    for (bool done = false; !done;) {
      if (stop.stop_requested()) {
        return {StatusCode::kCancelled,
                "the building of postings was stopped; it goes on from "
                "there the next time"};
      }
      NESTOR_RETURN_IF_ERROR(applied(plan_postings(collection, make, after, done))
                                 .with_context("collection '" + collection + "'"));
    }
    return {};
  });
}

Result<DocumentStore::PreparedPointer> RocksdbStore::plan_clearing(const CollectionRecord& record,
                                                                   const std::string& analysis) {
  return plan_commit(record, state_, kAlways,
                     [&](CommitPlan& plan) { return plan.terms().clear(analysis, plan.batch()); });
}

// Documents with keys after `after`, which becomes the last one looked at.
Result<DocumentStore::PreparedPointer> RocksdbStore::plan_postings(const std::string& collection,
                                                                   const TermMaker& make,
                                                                   std::string& after, bool& done) {
  NESTOR_ASSIGN_OR_RETURN(CollectionRecord record, require_collection(collection));
  const Collection facts = record.collection;
  const RecordSource source = newest();
  const std::string begin = document_key(facts.id, after.empty() ? after : after + '\0');
  const std::string end = prefix_end(key_prefix(KeyTag::kDocument, facts.id));
  std::size_t text_bytes = 0;
  int visited = 0;
  done = true;
  const auto visit = [&](CommitPlan& plan, std::string_view key,
                         std::string_view value) -> Result<bool> {
    if (text_bytes >= kBatchTextBytes || visited == kMostVisited) {
      done = false;
      return false;
    }
    NESTOR_ASSIGN_OR_RETURN(const StoredDocument document, decode_document(key, value));
    after = document.document.key;
    ++visited;
    NESTOR_ASSIGN_OR_RETURN(const bool built,
                            has_document_terms(source, facts.id, document.first_row_id));
    if (built) return true;
    NESTOR_ASSIGN_OR_RETURN(const std::vector<Row> rows, rows_of(source, facts, document));
    DocumentWrite write{.document = document.document, .rows = rows, .terms = {}};
    NESTOR_ASSIGN_OR_RETURN(write.terms, make(document, rows));
    NESTOR_RETURN_IF_ERROR(check_terms(write));
    NESTOR_RETURN_IF_ERROR(
        plan.terms().write(document.first_row_id, rows.size(), write.terms, plan.batch()));
    text_bytes += document.document.text.size();
    return true;
  };
  return plan_commit(std::move(record), state_, kAlways, [&](CommitPlan& plan) -> Status {
    NESTOR_RETURN_IF_ERROR(source.scan(
        begin, end,
        [&](std::string_view key, std::string_view value) { return visit(plan, key, value); }));
    return done ? plan.terms().mark_complete() : Status();
  });
}

}  // namespace nestor::storage
