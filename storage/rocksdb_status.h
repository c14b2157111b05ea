// RocksDB's statuses and exceptions end here.
// Threads: free functions, safe anywhere.
#pragma once

#include <rocksdb/status.h>

#include <exception>
#include <new>
#include <string>

#include "core/caught_status.h"
#include "nestor/status.h"

namespace nestor::storage {

// ok stays ok; otherwise "cannot <action>: <RocksDB's words>" under the code that fits.
Status status_from_rocksdb(const rocksdb::Status& status, const std::string& action);

// `work()`, which returns a Status or a Result, with what it throws turned into a Status.
template <typename Work>
auto catching_exceptions(Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return caught_status(StatusCode::kOutOfMemory,
                         {"memory ran out in the store; use smaller batches"});
  } catch (const std::exception& thrown) {
    return caught_status(StatusCode::kInternal, {"the store failed: ", thrown.what()});
  }
}

}  // namespace nestor::storage
