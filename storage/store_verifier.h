// Checks everything a store holds in one pass over its keys: each record by itself, documents
// against rows and rows against documents, counts and digests against what is there. Threads: as
// its RecordSource.
#pragma once

#include <stop_token>

#include "nestor/database.h"
#include "nestor/status.h"
#include "storage/record_source.h"

namespace nestor::storage {

// Damage goes into the report. Errors: kCancelled, kIoError.
Result<VerifyReport> verify_records(const RecordSource& source, std::stop_token stop);

}  // namespace nestor::storage
