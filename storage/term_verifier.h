// The part of verify that looks at postings, both ways: every posting belongs to a document's list
// of terms, every list has all of its postings, every document its list, and the totals add up.
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/key_schema.h"
#include "storage/records.h"

namespace nestor::storage {

// Of one collection. Records come in any order; finish() is last.
class TermVerifier {
 public:
  // Errors: kDataLoss (a damaged record), which is a problem of the report.
  Status on_record(const ParsedKey& parsed, std::string_view key, std::string_view value);
  void on_document(const StoredDocument& document);
  // Hands every sentence about what does not fit to `problem`.
  void finish(const std::string& collection, const std::function<void(std::string)>& problem) const;

 private:
  // What three kinds of records say of one document.
  struct Found {
    std::string document;  // empty: none has its rows here
    std::int64_t rows = 0;
    bool has_terms = false;
    bool damaged = false;  // a record of it, which is a problem already
    std::int64_t rows_of_terms = 0;
    std::size_t terms = 0;
    std::size_t postings = 0;
    Hash128 digest_on_record;
    Hash128 digest;
  };
  TermTotals stated_;
  TermTotals found_;
  std::map<std::uint64_t, Found> documents_;  // by first row id
};

}  // namespace nestor::storage
