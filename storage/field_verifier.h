// Checks one collection's field index against its documents, both ways, in the order in which
// verify meets their keys. Sums tell that something differs; only then are the records compared one
// by one. Threads: one.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/index_sink.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

class FieldVerifier {
 public:
  // Of every document, and of every key of the index.
  void on_document(std::uint32_t collection, const StoredDocument& document);
  // Errors: kDataLoss (the record is damaged).
  Status on_entry(std::string_view key, std::string_view value);

  // Errors: kIoError.
  Status finish(const RecordSource& source, const Collection& collection,
                const IndexSink& sink) const;

 private:
  Status find_missing(const RecordSource& source, const Collection& collection,
                      const IndexSink& sink) const;
  Status find_foreign(const RecordSource& source, const Collection& collection,
                      const IndexSink& sink) const;

  Hash128 expected_;
  Hash128 found_;
  bool complete_ = false;  // the marker was there
};

}  // namespace nestor::storage
