// Where warnings of the library go: the caller's callback, or nowhere.
#pragma once

#include <string_view>

#include "nestor/options.h"

namespace nestor {

// Calls `log` if it is set.
void log_to(const LogCallback& log, LogLevel level, std::string_view message);

}  // namespace nestor
