#include "tools/cli/model_pull_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/file.h"
#include "core/macros.h"

namespace nestor::cli {
namespace {

constexpr std::size_t kKeptOutputBytes = 64 << 10;
constexpr int kTickMilliseconds = 100;
constexpr auto kGracePeriod = std::chrono::seconds(2);

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() { close(); }
  void close() {
    if (value_ >= 0) ::close(std::exchange(value_, -1));
  }
  [[nodiscard]] int get() const { return value_; }

 private:
  int value_ = -1;
};

struct Pipe {
  Descriptor reading;
  Descriptor writing;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_status(errno, "make", "a pipe");
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// A file in memory instead of a pipe: a child that ends early cannot make the writer stumble.
Result<Descriptor> input_of(const std::string& bytes) {
  Descriptor file(::memfd_create("nestor-child-input", MFD_CLOEXEC));
  if (file.get() < 0) return errno_status(errno, "make", "a file in memory");
  std::size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t count = ::write(file.get(), bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno != EINTR) return errno_status(errno, "write", "a file in memory");
    if (count > 0) written += static_cast<std::size_t>(count);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(
    const std::vector<std::pair<std::string, std::string>>& changes) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    bool replaced = false;
    for (const auto& [name, value] : changes) {
      replaced = replaced || variable.starts_with(name + "=");
    }
    if (!replaced) variables.emplace_back(variable);
  }
  for (const auto& [name, value] : changes) variables.push_back(name + "=" + value);
  return variables;
}

struct Stdio {
  Descriptor input;
  Pipe output;
  Pipe errors;
  Pipe failure;  // carries errno when the program could not be started; closed by exec
};

// Between fork and exec only what is safe in a signal handler: another thread may have held a lock.
[[noreturn]] void become(const Stdio& stdio, const char* folder, char* const* arguments,
                         char* const* variables) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::dup2(stdio.input.get(), STDIN_FILENO) >= 0 &&
      ::dup2(stdio.output.writing.get(), STDOUT_FILENO) >= 0 &&
      ::dup2(stdio.errors.writing.get(), STDERR_FILENO) >= 0 && ::chdir(folder) == 0) {
    ::execvpe(arguments[0], arguments, variables);
  }
  const int error = errno;
  [[maybe_unused]] const ssize_t told = ::write(stdio.failure.writing.get(), &error, sizeof(error));
  ::_exit(127);
}

// Reads what is there; false at the end of the stream.
bool drain(const Descriptor& from, std::string& into) {
  std::array<char, 4096> block{};
  const ssize_t count = ::read(from.get(), block.data(), block.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  into.append(block.data(), static_cast<std::size_t>(count));
  if (into.size() > 2 * kKeptOutputBytes) into.erase(0, into.size() - kKeptOutputBytes);
  return count > 0;
}

// Listens until the child has closed both streams and ended.
class Attendance {
 public:
  Attendance(pid_t child, Stdio& stdio, const std::stop_token& stop)
      : child_(child), stdio_(stdio), stop_(stop) {}

  int wait(ChildResult& result, const std::function<void()>& on_tick) {
    for (;;) {
      listen(result);
      if (on_tick) on_tick();
      int how = 0;
      const pid_t ended = ::waitpid(child_, &how, WNOHANG);
      if (ended == child_) {
        // What its own children still write is of no interest any more.
        while (open_count() > 0 && listen(result) > 0) {
        }
        return how;
      }
      if (stop_.stop_requested()) end_it();
    }
  }

 private:
  [[nodiscard]] int open_count() const { return (output_open_ ? 1 : 0) + (errors_open_ ? 1 : 0); }

  // The number of streams that had something to say within a tick.
  int listen(ChildResult& result) {
    std::array<pollfd, 2> streams = {
        pollfd{output_open_ ? stdio_.output.reading.get() : -1, POLLIN, 0},
        pollfd{errors_open_ ? stdio_.errors.reading.get() : -1, POLLIN, 0}};
    const int ready = ::poll(streams.data(), streams.size(), kTickMilliseconds);
    if (ready <= 0) return 0;
    if (streams[0].revents != 0) output_open_ = drain(stdio_.output.reading, result.output);
    if (streams[1].revents != 0) errors_open_ = drain(stdio_.errors.reading, result.errors);
    return ready;
  }

  void end_it() {
    const auto now = std::chrono::steady_clock::now();
    if (asked_at_ == std::chrono::steady_clock::time_point()) {
      asked_at_ = now;
      ::kill(-child_, SIGTERM);
    } else if (now - asked_at_ > kGracePeriod) {
      ::kill(-child_, SIGKILL);
    }
  }

  pid_t child_;
  Stdio& stdio_;
  const std::stop_token& stop_;
  bool output_open_ = true;
  bool errors_open_ = true;
  std::chrono::steady_clock::time_point asked_at_;
};

void keep_tail(std::string& text) {
  if (text.size() > kKeptOutputBytes) text.erase(0, text.size() - kKeptOutputBytes);
}

}  // namespace

Result<ChildResult> run_child(const ChildCommand& command, const std::stop_token& stop,
                              const std::function<void()>& on_tick) {
  const std::string& program = command.arguments.front();
  Stdio stdio;
  NESTOR_ASSIGN_OR_RETURN(stdio.input, input_of(command.input));
  NESTOR_ASSIGN_OR_RETURN(stdio.output, make_pipe());
  NESTOR_ASSIGN_OR_RETURN(stdio.errors, make_pipe());
  NESTOR_ASSIGN_OR_RETURN(stdio.failure, make_pipe());
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> variables = environment_with(command.environment);
  const std::vector<char*> argument_pointers = pointers_to(arguments);
  const std::vector<char*> variable_pointers = pointers_to(variables);
  const pid_t child = ::fork();
  if (child < 0) return errno_status(errno, "start", program);
  if (child == 0) {
    become(stdio, command.working_folder.empty() ? "." : command.working_folder.c_str(),
           argument_pointers.data(), variable_pointers.data());
  }
  ::setpgid(child, child);  // whoever of the two comes first
  stdio.output.writing.close();
  stdio.errors.writing.close();
  stdio.failure.writing.close();
  int error = 0;
  ssize_t told = 0;
  do {
    told = ::read(stdio.failure.reading.get(), &error, sizeof(error));
  } while (told < 0 && errno == EINTR);
  if (told == sizeof(error)) {
    ::waitpid(child, nullptr, 0);
    return errno_status(error, "start", program);
  }

  ChildResult result;
  const int how = Attendance(child, stdio, stop).wait(result, on_tick);
  keep_tail(result.output);
  keep_tail(result.errors);
  if (stop.stop_requested()) return Status(StatusCode::kCancelled, program + " was stopped");
  if (WIFSIGNALED(how) && (WTERMSIG(how) == SIGINT || WTERMSIG(how) == SIGTERM)) {
    return Status(StatusCode::kCancelled, program + " was stopped from outside");
  }
  result.exit_code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
  return result;
}

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return {};
  const std::size_t before = text.find_last_of("\r\n", end);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace nestor::cli
