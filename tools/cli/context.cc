#include "tools/cli/context.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "core/text.h"
#include "tools/cli/progress.h"
#include "tools/cli/terminal.h"

namespace nestor::cli {
namespace {

void write_line(Context& context, std::string_view prefix, std::string_view text,
                std::string_view end) {
  if (context.progress_line != nullptr) context.progress_line->wipe();
  std::fflush(stdout);
  // Lines stay: messages are made of several on purpose, and names inside them are quoted by
  // whoever put them there; every other control character is spelled out.
  const std::string line = fmt::format("{}{}{}", prefix, escape_for_terminal(text, true), end);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void write_warning(Context& context, std::string_view line) {
  write_line(context, styled(terminal_of(2), Style::kYellow, "warning: "), line, "\n");
}

}  // namespace

ExitCode exit_code_of(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kModelMissing:
      return kExitModelMissing;
    case StatusCode::kModelMismatch:
      return kExitModelMismatch;
    case StatusCode::kLocked:
      return kExitLocked;
    case StatusCode::kDataLoss:
      return kExitDataLoss;
    case StatusCode::kDeadlineExceeded:
      return kExitTimeout;
    case StatusCode::kCancelled:
      return kExitInterrupted;
    default:
      return kExitError;
  }
}

EmbedderOptions Context::embedder_options(const std::string& precision) {
  EmbedderOptions options;
  options.model_folder = global.model_folder;
  options.precision = precision;
  options.thread_count = global.thread_count;
  options.allow_unverified_model = global.allow_unverified_model;
  // A model that is packed first makes a person wait, so what it says is worth hearing.
  options.log = [this](LogLevel level, std::string_view message) {
    level == LogLevel::kWarning ? warn(message) : note(message);
  };
  return options;
}

OpenOptions Context::open_options(const std::string& precision) {
  OpenOptions options;
  options.embedder = embedder_options(precision);
  options.memory_bytes = global.memory_bytes;
  options.log = [this](LogLevel level, std::string_view message) {
    if (level == LogLevel::kWarning) warn(message);
  };
  return options;
}

void Context::note(std::string_view line) {
  if (!global.quiet) write_line(*this, "", line, "\n");
}

void Context::warn(std::string_view line) {
  if (!global.quiet) write_warning(*this, line);
}

void Context::caution(std::string_view line) {
  cautions.emplace_back(line);
  write_warning(*this, line);
}

void Context::prompt(std::string_view question) { write_line(*this, "", question, ""); }

int Context::fail(const Status& status) {
  write_line(*this, styled(terminal_of(2), Style::kRed, "nestor: "), status.message(), "\n");
  return exit_code_of(status);
}

void Context::print(std::string_view bytes) {
  if (progress_line != nullptr) progress_line->wipe();
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

Status Context::flush() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  const int error = errno;
  return {error == ENOSPC ? StatusCode::kNoSpace : StatusCode::kIoError,
          "cannot write the results to standard output: " +
              (error == 0 ? "an earlier write failed" : std::generic_category().message(error))};
}

}  // namespace nestor::cli
