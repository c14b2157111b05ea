#include "storage/term_verifier.h"

#include <fmt/format.h>

#include "core/macros.h"
#include "core/text.h"
#include "storage/record_digest.h"
#include "storage/term_codec.h"

namespace nestor::storage {

Status TermVerifier::on_record(const ParsedKey& parsed, std::string_view key,
                               std::string_view value) {
  if (parsed.tag == KeyTag::kTermTotals) {
    NESTOR_ASSIGN_OR_RETURN(stated_, decode_term_totals(key, value));
    return {};
  }
  Found& found = documents_[parsed.number];
  if (parsed.tag == KeyTag::kPosting) {
    ++found.postings;
    add_to_digest(found.digest, key, value);
    std::vector<Posting> postings;
    const Status decoded = decode_postings(key, value, parsed.number, postings);
    found.damaged |= !decoded.ok();
    return decoded;
  }
  Result<DocumentTerms> terms = decode_document_terms(key, value);
  found.has_terms = true;
  found.damaged |= !terms.ok();
  if (!terms.ok()) return terms.status();
  found.terms = terms.value().terms.size();
  found.digest_on_record = terms.value().digest;
  found.rows_of_terms = static_cast<std::int64_t>(terms.value().lengths.size());
  found_.rows += found.rows_of_terms;
  for (const std::uint32_t length : terms.value().lengths) found_.length += length;
  return {};
}

void TermVerifier::on_document(const StoredDocument& document) {
  Found& found = documents_[document.first_row_id];
  found.document = document.document.key;
  found.rows = document.passage_count;
}

void TermVerifier::finish(const std::string& collection,
                          const std::function<void(std::string)>& problem) const {
  for (const auto& [first_row_id, found] : documents_) {
    if (found.damaged) continue;
    const std::string where =
        found.document.empty()
            ? fmt::format("collection '{}', terms at row {}", collection, first_row_id)
            : fmt::format("collection '{}', document {}", collection,
                          quote_for_message(found.document));
    if (found.document.empty()) {
      problem(fmt::format("{}: {} postings and no document", where, found.postings));
    } else if (!found.has_terms) {
      if (stated_.complete) problem(where + ": the list of its terms is missing");
      if (found.postings > 0) {
        problem(fmt::format("{}: {} postings and no list of terms", where, found.postings));
      }
    } else if (found.rows_of_terms != found.rows) {
      problem(fmt::format("{}: terms of {} passages, it has {}", where, found.rows_of_terms,
                          found.rows));
    } else if (found.postings != found.terms || found.digest != found.digest_on_record) {
      problem(fmt::format("{}: {} postings are there for {} terms, or they are stale or foreign",
                          where, found.postings, found.terms));
    }
  }
  if (stated_.rows != found_.rows || stated_.length != found_.length) {
    problem(
        fmt::format("collection '{}': {} passages with {} words have terms, {} with {} are on "
                    "record",
                    collection, with_thousands(found_.rows), with_thousands(found_.length),
                    with_thousands(stated_.rows), with_thousands(stated_.length)));
  }
}

}  // namespace nestor::storage
