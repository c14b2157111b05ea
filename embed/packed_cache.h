// Packed models that Nestor makes by itself, once, when a person has only a checkpoint: kept in
// cache_folder()/models, found again by the checkpoint's path, sizes and times of change.
// Threads: free functions; two processes that pack at once both end with a whole file.
#pragma once

#include <string>

#include "core/thread_pool.h"
#include "embed/precision.h"
#include "nestor/options.h"
#include "nestor/status.h"

namespace nestor::embed {

// The packed file of the checkpoint `source` (a folder, or a GGUF), made now if it is not there.
// Older ones of the same path are removed. Errors: those of open_checkpoint and pack_model;
// kFailedPrecondition (no cache folder: neither XDG_CACHE_HOME nor HOME is set).
// Cost: the first time some 15 seconds and 350 MB of disk for int8, said in the log.
Result<std::string> cached_packed_model(const std::string& source, Precision precision,
                                        bool allow_unverified, ThreadPool& pool,
                                        const LogCallback& log);

}  // namespace nestor::embed
