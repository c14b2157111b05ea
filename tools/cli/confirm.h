// Asking a person before something goes for good. Threads: one, the main thread.
#pragma once

#include <string>

#include "nestor/status.h"
#include "tools/cli/context.h"

namespace nestor::cli {

// Whether a person sits there to be asked: standard input and standard error are terminals.
bool can_ask();
// "question [y/N] " on stderr; true where the answer is y or yes, in any case. Errors: kCancelled
// (interrupted), kIoError. REQUIRES: can_ask().
Result<bool> ask(const std::string& question, Context& context);

}  // namespace nestor::cli
