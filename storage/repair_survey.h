// What a store holds, looked at with the eyes of a repair: which documents are there whole, with
// all of their rows, and what is damaged, left over or only derived. One pass over all records in
// the order of their keys. Threads: values; the pass belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nestor/status.h"
#include "storage/record_codec.h"
#include "storage/record_source.h"

namespace nestor::storage {

// Hands every record that can be read to the visitor, in the order of the keys.
using RecordScan = std::function<Status(const RecordSource::Visitor& visit)>;

struct SurveyedDocument {
  std::uint64_t first_row_id = 0;
  std::int64_t count = 0;
  std::int64_t text_bytes = 0;
  std::int64_t rows_seen = 0;
  [[nodiscard]] bool whole() const { return rows_seen == count; }
};

struct SurveyedCollection {
  std::uint32_t id = 0;
  std::string name;
  std::optional<CollectionRecord> record;  // none: damaged or gone
  int width = 0;
  std::unordered_map<std::string, SurveyedDocument> documents;  // that can be read
  std::vector<std::string> damaged_documents;                   // keys
  std::vector<std::uint64_t> bad_rows;                          // damaged, or of no document
  Collection found;                                             // as counted, damaged ones too
  std::uint64_t highest_row_id = 0;
  std::uint64_t newest_journal = 0;  // sequence
  Hash128 journal_digest;            // of that entry
  bool fields_bad = false;
  bool contents_bad = false;
  bool terms_bad = false;

  // Whether the row belongs to a document that can be read, at its place.
  [[nodiscard]] bool fits(const Row& row) const;
  [[nodiscard]] std::int64_t whole_documents() const;
};

struct Survey {
  std::map<std::uint32_t, SurveyedCollection> collections;
  std::vector<std::string> nameless;   // collections whose record is damaged
  std::vector<std::string> foreign;    // keys that are nothing of Nestor's, or left over
  std::optional<StoreState> state;     // none: damaged or gone
  std::optional<StoreFormat> format;   // none: damaged or gone
  std::uint64_t highest_sequence = 0;  // of any readable record
};

// Errors: those of `scan`; kCancelled; kUnsupported (a record of a newer version).
Result<Survey> survey_records(const RecordScan& scan, const std::stop_token& stop);

}  // namespace nestor::storage
