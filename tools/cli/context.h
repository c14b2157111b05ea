// What every subcommand shares: the global options, the way to fail with the right exit code, and
// stderr as one orderly place. Threads: one, the main thread; `stop` may be asked anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/database.h"
#include "nestor/embedder.h"
#include "nestor/status.h"

namespace nestor::cli {

class ProgressLine;

// As grep, and then some. Part of the contract with other programs: never renumber.
enum ExitCode : int {
  kExitOk = 0,
  kExitNoHits = 1,  // nothing found; an unknown key
  kExitError = 2,
  kExitModelMissing = 3,
  kExitModelMismatch = 4,
  kExitLocked = 5,
  kExitDataLoss = 6,
  kExitTimeout = 124,  // as timeout(1)
  kExitInterrupted = 130,
};
ExitCode exit_code_of(const Status& status);

// The version of every JSON that the command line prints.
inline constexpr int kSchemaVersion = 1;

struct GlobalOptions {
  std::string model_folder;
  bool allow_unverified_model = false;
  bool quiet = false;
  int thread_count = 0;
  std::int64_t memory_bytes = 0;  // OpenOptions::memory_bytes
};

struct Context {
  GlobalOptions global;
  // Asked to stop by Ctrl-C or SIGTERM; give it to every long call.
  std::stop_token stop;
  // What main runs once the whole command line has been read; set by set_action (command.h).
  std::function<int(Context&)> action;
  std::vector<std::string> cautions;  // for results in JSON
  // The bar that is on the screen now, if any; lines on stderr wipe it first.
  ProgressLine* progress_line = nullptr;

  // From the global options; the log goes to warn(), that of the embedder to note() too.
  EmbedderOptions embedder_options(const std::string& precision = {});
  OpenOptions open_options(const std::string& precision = {});

  // One line on stderr, made safe for a terminal. note() and warn() say nothing with --quiet.
  void note(std::string_view line);
  void warn(std::string_view line);
  // As warn(), also with --quiet and in `cautions`: what may make a result another one than was
  // meant.
  void caution(std::string_view line);
  // A question to the person at the terminal, on stderr; the line goes on with the answer.
  void prompt(std::string_view question);
  // "nestor: <message>" on stderr, also with --quiet; returns the exit code that belongs to the
  // status.
  int fail(const Status& status);
  // Writes results to stdout as they are. A failed write ends in flush().
  void print(std::string_view bytes);
  // Errors: kIoError, kNoSpace when stdout did not take everything.
  Status flush();
};

}  // namespace nestor::cli
