// What can still be read of a damaged RocksDB: opened read-only and leniently, and where its lists
// of files are of no use, by RocksDB's own repair of a copy made of links. Blocks that cannot be
// read are stepped over. The folder itself is not written. Threads: one.
#pragma once

#include <rocksdb/db.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nestor/status.h"
#include "storage/record_source.h"
#include "storage/rocksdb_options.h"

namespace nestor::storage {

class SalvageSource {
 public:
  // `scratch` is a folder that may be filled and emptied, on the same file system (files are
  // linked, or copied where they cannot be). Errors: kDataLoss (nothing can be read), kIoError.
  static Result<SalvageSource> open(const std::string& folder, const std::string& scratch);

  // As RecordSource::scan over everything; damage is stepped over and noted in gaps().
  // Errors: those of `visit`, kIoError.
  Status scan(const RecordSource::Visitor& visit);
  // A sentence for every stretch of keys or file that could not be read, each once.
  [[nodiscard]] const std::vector<std::string>& gaps() const { return gaps_; }
  [[nodiscard]] rocksdb::DB& db() { return *db_; }

 private:
  explicit SalvageSource(RocksdbPointer db) : db_(std::move(db)) {}
  // The first readable key after `last` (none: from the start), or nothing to the end.
  std::optional<std::string> first_readable(rocksdb::Iterator& iterator,
                                            const std::optional<std::string>& last) const;
  void note_gap(std::string sentence);

  RocksdbPointer db_;
  std::vector<std::string> gaps_;
};

}  // namespace nestor::storage
