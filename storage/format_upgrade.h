// Brings a database of an older format to the present one while it is being opened for writing.
// Format 1 to 2: the field index is made from the documents. Format 2 to 3: the content index is
// made from the rows. Threads: as the open it is part of.
#pragma once

#include <rocksdb/db.h>

#include <string>

#include "nestor/options.h"
#include "nestor/status.h"
#include "storage/free_space.h"
#include "storage/manifest.h"

namespace nestor::storage {

// Does nothing where nothing is missing. First NESTOR says the present format, so that no older
// program writes beside what it does not know; then come the entries in batches, and last each
// collection's marker, synced. A process that dies in between leaves no marker of the field index,
// which the next opener begins again, or one of the content index that says where to go on.
// Errors: kNoSpace, kIoError, kDataLoss (a damaged document).
// Cost: one pass over all documents and rows of the collections without a marker.
Status upgrade_format(const std::string& path, rocksdb::DB& db, Manifest manifest,
                      const FreeBytesFunction& free_bytes, const LogCallback& log);

}  // namespace nestor::storage
