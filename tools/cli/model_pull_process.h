// Child processes of `nestor model pull`: curl, pip, python3. They get an argument list, never a
// shell; secrets go in through standard input, where `ps` does not see them. They die with this
// program. Threads: free function, safe anywhere.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "nestor/status.h"

namespace nestor::cli {

struct ChildCommand {
  std::vector<std::string> arguments;  // the first is the program, looked for in PATH
  std::string input;                   // of its standard input
  std::string working_folder;
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of this program's
};

struct ChildResult {
  int exit_code = 0;
  std::string output;  // the last 64 KiB of standard output
  std::string errors;  // the same of standard error
};

// Runs it to its end and calls `on_tick` ten times a second meanwhile. When `stop` is asked the
// child and its children get SIGTERM, and SIGKILL two seconds later. A child that fails is a
// result, not an error. Errors: kNotFound (no such program), kCancelled, kIoError.
Result<ChildResult> run_child(const ChildCommand& command, const std::stop_token& stop,
                              const std::function<void()>& on_tick);

// The last line of what a child said that is not blank, for error messages.
std::string last_line(const std::string& text);

}  // namespace nestor::cli
