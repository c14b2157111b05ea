// The postings of a collection: which term stands where in which passage. TermWriter puts them into
// the batch of the rows they belong to; the free functions read them. storage/ does not know how a
// text becomes terms. Threads: a TermWriter belongs to one batch; the functions are safe anywhere.
#pragma once

#include <rocksdb/write_batch.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

// Errors: kInvalidArgument (terms that cannot be stored: no order, a NUL, too long, one list for
// another number of rows).
Status check_terms(const DocumentWrite& write);

class TermWriter {
 public:
  // `source` reads the newest state and must outlive the writer. A new collection has no postings
  // to wait for and is complete.
  TermWriter(const RecordSource& source, std::uint32_t collection, bool new_collection);

  // What makes the terms of this batch. Errors: kFailedPrecondition (the collection's postings come
  // from another analysis, both named), kDataLoss.
  Status use_analysis(const std::string& analysis);
  // Errors: kDataLoss (the list of the document's terms is damaged, or missing though the
  // collection is complete).
  Status take_away(std::uint64_t first_row_id, rocksdb::WriteBatch& batch);
  // For records that are damaged: the totals become those of the lists that are there.
  Status settle();
  // After settle(): everything of documents that begin at these rows, looked for.
  // Cost: reads all postings of the collection.
  Status take_away_damaged(const std::set<std::uint64_t>& first_row_ids,
                           rocksdb::WriteBatch& batch);
  // `terms`: one a row, or empty.
  Status write(std::uint64_t first_row_id, std::size_t row_count,
               const std::vector<RowTerms>& terms, rocksdb::WriteBatch& batch);
  // All postings of the collection; what is written from now on is of `analysis`.
  Status clear(const std::string& analysis, rocksdb::WriteBatch& batch);
  Status mark_complete();
  // The totals, where they changed. To be called once, last.
  void finish(rocksdb::WriteBatch& batch) const;

 private:
  Status load();
  const RecordSource& source_;
  std::uint32_t collection_;
  bool changed_;
  std::optional<TermTotals> totals_;
};

// A collection without such a record (of format 1) is not complete.
Result<TermTotals> read_term_totals(const RecordSource& source, std::uint32_t collection);
Result<bool> has_document_terms(const RecordSource& source, std::uint32_t collection,
                                std::uint64_t first_row_id);
// As DocumentStore::scan_postings and scan_terms.
Status scan_postings(const RecordSource& source, std::uint32_t collection, std::string_view term,
                     TermForms forms, std::uint64_t first_row_id,
                     const std::function<void(const Posting&)>& visit);
Status scan_terms(const RecordSource& source, std::uint32_t collection, std::string_view prefix,
                  const std::function<void(std::string_view term)>& visit);

}  // namespace nestor::storage
