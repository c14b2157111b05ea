// pack_model: makes a packed model file (packed_model.h) out of a checkpoint, once.
// Threads: free function; it uses all of `pool`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/thread_pool.h"
#include "embed/checkpoint.h"
#include "embed/precision.h"
#include "nestor/status.h"

namespace nestor::embed {

// Hears bytes written so far and bytes in all, from one thread at a time; returns false to stop.
using PackProgress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

// Writes `path`, which is the old file or the whole new one at every moment.
// Errors: those of Checkpoint::read; kUnsupported (sizes the precision does not take), kNoSpace,
// kIoError, kCancelled. Cost: reads the checkpoint once; some seconds and about 100 MB a thread.
Status pack_model(const Checkpoint& checkpoint, Precision precision, const std::string& path,
                  ThreadPool& pool, const PackProgress& on_progress = {});

}  // namespace nestor::embed
