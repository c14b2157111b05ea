// What a packed file in Nestor's own model folder was made from, and how to be rid of it.
// Threads: free functions; one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "embed/checkpoint.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

struct SourceFiles {
  std::vector<std::string> paths;  // full; those a model cannot be without first
  std::uint64_t bytes = 0;
};

// The files of `folder` that are what `packed` was made from, by SHA-256: the known ones of the
// checkpoint, or the GGUF. Others are never among them. Errors: kCancelled, kIoError.
Result<SourceFiles> find_source_files(const std::string& folder,
                                      const embed::CheckpointIdentity& packed, Context& context);

// Removes them, and the subfolders that are empty then. Errors: kInvalidArgument (`folder` is a
// symbolic link: its files belong elsewhere), kIoError.
Status remove_source_files(const std::string& folder, const SourceFiles& files);

}  // namespace nestor::cli
