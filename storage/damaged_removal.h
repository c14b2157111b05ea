// How a document whose records are damaged is taken away all the same, so that it can be replaced
// or removed without a repair. Its own records cannot say what belongs to it: rows, postings and
// entries of the indexes are looked for. Threads: one; part of one batch.
#pragma once

#include <rocksdb/write_batch.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nestor/status.h"
#include "storage/record_source.h"
#include "storage/term_index.h"

namespace nestor::storage {

class DamagedRemoval {
 public:
  // `stated`: the collection as its record has it before the batch. `source` must outlive this.
  DamagedRemoval(const RecordSource& source, Collection stated)
      : source_(source), stated_(std::move(stated)) {}

  // Takes the document away in `batch`; counts and digest of `collection` become those of what
  // stays. `value`: its record as it lies there. Row ids go to `removed_row_ids`.
  // Errors: kDataLoss where documents are missing besides: the digest must not vouch for a
  // collection that somebody has to repair first. Cost: the first call reads the whole collection.
  Status take_away(const std::string& key, const std::string& value, TermWriter& terms,
                   Collection& collection, rocksdb::WriteBatch& batch,
                   std::vector<std::uint64_t>& removed_row_ids);

 private:
  struct Extent {
    std::uint64_t first_row_id = 0;
    std::uint64_t count = 0;
  };
  Status settle(TermWriter& terms, Collection& collection);
  // From the record itself, or from the field index, which repeats it.
  Result<std::optional<Extent>> extent_of(const std::string& key, const std::string& value) const;
  Status take_rows(const std::string& key, const std::optional<Extent>& extent,
                   Collection& collection, rocksdb::WriteBatch& batch,
                   std::vector<std::uint64_t>& removed_row_ids, std::set<std::uint64_t>& firsts);
  Status take_contents(const std::set<std::uint64_t>& rows, const std::optional<Extent>& extent,
                       rocksdb::WriteBatch& batch) const;

  const RecordSource& source_;
  const Collection stated_;
  bool settled_ = false;
};

}  // namespace nestor::storage
