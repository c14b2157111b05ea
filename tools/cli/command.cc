#include "tools/cli/command.h"

#include <utility>

namespace nestor::cli {

void set_action(CLI::App& command, Context& context, std::function<int(Context&)> action) {
  // The parser calls this in the middle of its work; running the action later keeps every mistake
  // of the command line ahead of the work.
  command.callback([&context, action = std::move(action)] { context.action = action; });
}

}  // namespace nestor::cli
