#include "tools/cli/standard_input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "core/file.h"
#include "core/text.h"

namespace nestor::cli {

void hold_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    // The wrong way round, so that its use is an error as that of a closed one is. The lowest free
    // number is it.
    ::open("/dev/null", descriptor == 0 ? O_WRONLY : O_RDONLY);
  }
}

InputDescriptor::~InputDescriptor() {
  if (value_ > 0) ::close(value_);
}

Result<InputDescriptor> open_input(const std::string& path) {
  if (path == "-") return InputDescriptor(0);
  if (is_folder(path)) {
    return Status(StatusCode::kInvalidArgument,
                  quote_for_message(path, 512) + " is a folder; a file was expected");
  }
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return errno_status(errno, "open", path);
  return InputDescriptor(descriptor);
}

}  // namespace nestor::cli
