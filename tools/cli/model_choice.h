// Which model and which precision a command is about to use, before anything is loaded.
// Threads: free functions; they read the environment.
#pragma once

#include <string>

#include "nestor/database.h"
#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

// What --precision means, for every command that embeds.
inline constexpr const char* kPrecisionHelp =
    "Numeric mode of the encoder: int8, bf16 or f32 (default: that of the packed model in place, "
    "else int8)";

// The precision an Embedder would have with these options; `asked` is --precision, "" or "auto"
// where it was not given. Errors: kModelMissing, kUnsupported (no such precision). Cost: some dozen
// stat calls.
Result<std::string> planned_precision(const Context& context, const std::string& asked);

// The same for a report: that of the loaded model where something was embedded, else the planned
// one.
std::string reported_precision(const Database& database, bool embedded, const Context& context,
                               const std::string& asked);

}  // namespace nestor::cli
