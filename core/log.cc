#include "core/log.h"

namespace nestor {

void log_to(const LogCallback& log, LogLevel level, std::string_view message) {
  if (log) log(level, message);
}

}  // namespace nestor
