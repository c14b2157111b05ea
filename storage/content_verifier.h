// Checks one collection's content index against its rows, both ways, in the order in which verify
// and repair meet their keys. Sums tell that something differs; only then are the records compared
// one by one. Threads: one.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/index_sink.h"
#include "storage/record_source.h"
#include "storage/records.h"

namespace nestor::storage {

class ContentVerifier {
 public:
  // Of every row that can be read, and of every key of the index.
  void on_row(std::uint32_t collection, const Row& row);
  // Errors: kDataLoss (the record is damaged).
  Status on_entry(std::string_view key, std::string_view value);

  // Whether there is an index and it does not fit the rows, or a record of it is damaged.
  [[nodiscard]] bool is_bad() const { return damaged_ || (complete_ && expected_ != found_); }

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
  bool complete_ = false;  // the marker says so
  bool damaged_ = false;
};

}  // namespace nestor::storage
