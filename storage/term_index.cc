#include "storage/term_index.h"

#include <fmt/format.h>

#include <map>

#include "core/macros.h"
#include "core/text.h"
#include "storage/key_schema.h"
#include "storage/record_digest.h"
#include "storage/record_frame.h"
#include "storage/term_codec.h"

namespace nestor::storage {

Status check_terms(const DocumentWrite& write) {
  const auto wrong = [&](const std::string& what) {
    return Status(StatusCode::kInvalidArgument,
                  fmt::format("document {}: {}", quote_for_message(write.document.key), what));
  };
  if (!write.terms.empty() && write.terms.size() != write.rows.size()) {
    return wrong(
        fmt::format("terms of {} passages for {} rows", write.terms.size(), write.rows.size()));
  }
  for (const RowTerms& row : write.terms) {
    std::string_view last;
    for (const RowTerm& term : row.terms) {
      if (term.term.size() > kMostTermBytes || term.term.find('\0') != std::string::npos) {
        return wrong(fmt::format("{} cannot be a term: 1 to {} bytes without NUL",
                                 quote_for_message(term.term), kMostTermBytes));
      }
      if (term.term <= last) return wrong("its terms are not in byte order, each once");
      last = term.term;
      for (std::size_t i = 1; i < term.positions.size(); ++i) {
        if (term.positions[i] < term.positions[i - 1]) return wrong("positions do not ascend");
      }
      if (term.positions.empty()) return wrong("a term without a position");
    }
  }
  return {};
}

TermWriter::TermWriter(const RecordSource& source, std::uint32_t collection, bool new_collection)
    : source_(source), collection_(collection), changed_(new_collection) {
  if (new_collection) totals_ = TermTotals{.complete = true, .analysis = {}};
}

Status TermWriter::load() {
  if (totals_) return {};
  NESTOR_ASSIGN_OR_RETURN(totals_, read_term_totals(source_, collection_));
  return {};
}

Status TermWriter::use_analysis(const std::string& analysis) {
  NESTOR_RETURN_IF_ERROR(load());
  if (totals_->rows == 0 && totals_->analysis != analysis) {
    totals_->analysis = analysis;
    changed_ = true;
  }
  if (totals_->analysis == analysis) return {};
  return {StatusCode::kFailedPrecondition,
          fmt::format("the postings come from the text analysis {}, these terms from {}; build the "
                      "postings again",
                      quote_for_message(totals_->analysis), quote_for_message(analysis))};
}

Status TermWriter::take_away(std::uint64_t first_row_id, rocksdb::WriteBatch& batch) {
  NESTOR_RETURN_IF_ERROR(load());
  const std::string key = document_terms_key(collection_, first_row_id);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source_.get(key));
  if (!value) {
    return totals_->complete ? damaged_record(key, "it is missing") : Status();
  }
  NESTOR_ASSIGN_OR_RETURN(const DocumentTerms old, decode_document_terms(key, *value));
  for (const std::string& term : old.terms) {
    batch.Delete(posting_key(collection_, term, first_row_id));
  }
  batch.Delete(key);
  totals_->rows -= static_cast<std::int64_t>(old.lengths.size());
  for (const std::uint32_t length : old.lengths) totals_->length -= length;
  changed_ = true;
  return {};
}

// Lists that this batch has taken away or written already are in neither sum.
Status TermWriter::settle() {
  NESTOR_RETURN_IF_ERROR(load());
  NESTOR_ASSIGN_OR_RETURN(const TermTotals stated, read_term_totals(source_, collection_));
  TermTotals found;
  const std::string lists = key_prefix(KeyTag::kDocumentTerms, collection_);
  NESTOR_RETURN_IF_ERROR(source_.scan(
      lists, prefix_end(lists), [&](std::string_view key, std::string_view value) -> Result<bool> {
        const Result<DocumentTerms> terms = decode_document_terms(key, value);
        if (!terms.ok()) return true;
        found.rows += static_cast<std::int64_t>(terms.value().lengths.size());
        for (const std::uint32_t length : terms.value().lengths) {
          found.length += length;
        }
        return true;
      }));
  totals_->rows += found.rows - stated.rows;
  totals_->length += found.length - stated.length;
  changed_ = true;
  return {};
}

Status TermWriter::take_away_damaged(const std::set<std::uint64_t>& first_row_ids,
                                     rocksdb::WriteBatch& batch) {
  NESTOR_RETURN_IF_ERROR(load());
  for (const std::uint64_t first_row_id : first_row_ids) {
    const std::string key = document_terms_key(collection_, first_row_id);
    NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source_.get(key));
    if (!value) continue;
    batch.Delete(key);
    const Result<DocumentTerms> terms = decode_document_terms(key, *value);
    if (!terms.ok()) continue;
    totals_->rows -= static_cast<std::int64_t>(terms.value().lengths.size());
    for (const std::uint32_t length : terms.value().lengths) totals_->length -= length;
  }
  changed_ = true;
  const std::string postings = key_prefix(KeyTag::kPosting, collection_);
  return source_.scan(postings, prefix_end(postings),
                      [&](std::string_view key, std::string_view) -> Result<bool> {
                        const std::optional<ParsedKey> parsed = parse_key(key);
                        if (parsed && first_row_ids.contains(parsed->number)) {
                          batch.Delete(std::string(key));
                        }
                        return true;
                      });
}

Status TermWriter::write(std::uint64_t first_row_id, std::size_t row_count,
                         const std::vector<RowTerms>& terms, rocksdb::WriteBatch& batch) {
  NESTOR_RETURN_IF_ERROR(load());
  DocumentTerms document;
  document.lengths.resize(row_count);
  std::map<std::string_view, std::vector<Posting>> postings;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    document.lengths[i] = terms[i].length;
    totals_->length += terms[i].length;
    for (const RowTerm& term : terms[i].terms) {
      postings[term.term].push_back(
          {.row_id = first_row_id + i, .length = terms[i].length, .positions = term.positions});
    }
  }
  for (const auto& [term, of_term] : postings) {
    const std::string key = posting_key(collection_, term, first_row_id);
    const std::string value = encode_postings(key, first_row_id, of_term);
    batch.Put(key, value);
    add_to_digest(document.digest, key, value);
    document.terms.emplace_back(term);
  }
  const std::string key = document_terms_key(collection_, first_row_id);
  batch.Put(key, encode_document_terms(key, document));
  totals_->rows += static_cast<std::int64_t>(row_count);
  changed_ = true;
  return {};
}

Status TermWriter::clear(const std::string& analysis, rocksdb::WriteBatch& batch) {
  for (const KeyTag tag : {KeyTag::kPosting, KeyTag::kDocumentTerms}) {
    const std::string prefix = key_prefix(tag, collection_);
    batch.DeleteRange(prefix, prefix_end(prefix));
  }
  totals_ = TermTotals{.complete = false, .analysis = analysis};
  changed_ = true;
  return {};
}

Status TermWriter::mark_complete() {
  NESTOR_RETURN_IF_ERROR(load());
  totals_->complete = true;
  changed_ = true;
  return {};
}

void TermWriter::finish(rocksdb::WriteBatch& batch) const {
  if (!changed_) return;
  const std::string key = term_totals_key(collection_);
  batch.Put(key, encode_term_totals(key, *totals_));
}

Result<TermTotals> read_term_totals(const RecordSource& source, std::uint32_t collection) {
  const std::string key = term_totals_key(collection);
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value, source.get(key));
  if (!value) return TermTotals{};
  return decode_term_totals(key, *value);
}

Result<bool> has_document_terms(const RecordSource& source, std::uint32_t collection,
                                std::uint64_t first_row_id) {
  NESTOR_ASSIGN_OR_RETURN(const std::optional<std::string> value,
                          source.get(document_terms_key(collection, first_row_id)));
  return value.has_value();
}

Status scan_postings(const RecordSource& source, std::uint32_t collection, std::string_view term,
                     TermForms forms, std::uint64_t first_row_id,
                     const std::function<void(const Posting&)>& visit) {
  // The first key after those of the term, or after those of all terms that continue it.
  std::string end = key_prefix(KeyTag::kPosting, collection);
  end.append(term).push_back(forms == TermForms::kAll ? static_cast<char>(kFormMark + 1)
                                                      : kFormMark);
  std::vector<Posting> postings;
  return source.scan_jumping(
      posting_key(collection, term, first_row_id), end,
      [&](std::string_view key, std::string_view value) -> Result<std::string> {
        const std::optional<ParsedKey> parsed = parse_key(key);
        if (!parsed) return damaged_record(key, "it is no posting's key");
        if (parsed->number < first_row_id)
          return posting_key(collection, parsed->name, first_row_id);
        postings.clear();
        NESTOR_RETURN_IF_ERROR(decode_postings(key, value, parsed->number, postings));
        for (const Posting& posting : postings) visit(posting);
        return std::string();
      });
}

Status scan_terms(const RecordSource& source, std::uint32_t collection, std::string_view prefix,
                  const std::function<void(std::string_view term)>& visit) {
  // So many keys of one term are passed one by one, which is quicker than to look for the next.
  constexpr int kFewKeys = 8;
  std::string begin = key_prefix(KeyTag::kPosting, collection);
  begin.append(prefix);
  std::string last;
  int passed = 0;
  return source.scan_jumping(begin, prefix_end(begin),
                             [&](std::string_view key, std::string_view) -> Result<std::string> {
                               const std::optional<ParsedKey> parsed = parse_key(key);
                               if (!parsed) return damaged_record(key, "it is no posting's key");
                               if (parsed->name != last) {
                                 last = parsed->name;
                                 passed = 0;
                                 visit(parsed->name);
                               }
                               if (++passed < kFewKeys) return std::string();
                               std::string next = key_prefix(KeyTag::kPosting, collection);
                               next.append(last).push_back(kFormMark);
                               return next;
                             });
}

}  // namespace nestor::storage
