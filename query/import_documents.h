// The course of an import: lines in, whole batches out, every failure with its line and with what
// is in already. Knows no database; what becomes of a batch is given. Threads: free function.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "nestor/transfer.h"
#include "query/portable_document.h"

namespace nestor::query {

// Lines taken into one batch.
inline constexpr std::int64_t kMostImportBytes = std::int64_t{32} << 20;

struct ImportSteps {
  // After the header: makes the collection, and says in the report's note why vectors are not
  // taken; true where they are. Completes the header with what its version does not say.
  std::function<Result<bool>(PortableHeader& header, ImportReport& report)> settle;
  // A batch with vectors, and one whose texts are to be embedded. Both add to the report.
  std::function<Status(const PortableHeader&header, std::vector<storage::DocumentWrite> writes,
                       ImportReport&report)>
      take, embed;
  std::int64_t batch_bytes = kMostImportBytes;  // of lines, at least one
};

// Errors: those of the lines, with the number, and of the steps; kCancelled.
Result<ImportReport> import_lines(const LineSource& next, const ImportOptions& options,
                                  const ImportSteps& steps);

}  // namespace nestor::query
