#include "tools/cli/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <thread>

#include "core/check.h"

namespace nestor::cli {
namespace {

// A handler reaches globals only. The flag and the descriptor are all that it touches.
volatile std::sig_atomic_t signals_seen = 0;
int wake_descriptor = -1;

void on_signal(int signal) {
  const int saved = errno;
  signals_seen = signals_seen + 1;
  if (signals_seen > 1) {
    // The second time: go now, as the signal would have done by itself.
    std::signal(signal, SIG_DFL);
    ::raise(signal);
  } else {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_descriptor, &one, sizeof(one));
  }
  errno = saved;
}

}  // namespace

struct InterruptHandler::State {
  std::stop_source source;
  // request_stop may not be called inside a handler, so a thread waits for the handler's word.
  std::thread watcher;
};

InterruptHandler::InterruptHandler() : state_(new State) {
  wake_descriptor = ::eventfd(0, EFD_CLOEXEC);
  NESTOR_CHECK(wake_descriptor >= 0, "no descriptor for the interrupt handler");
  state_->watcher = std::thread([this] {
    std::uint64_t count = 0;
    while (::read(wake_descriptor, &count, sizeof(count)) < 0 && errno == EINTR) {
    }
    if (signals_seen > 0) state_->source.request_stop();
  });
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  // Whoever started us may have left it ignored; `nestor search … | head` is to end in silence.
  std::signal(SIGPIPE, SIG_DFL);
}

InterruptHandler::~InterruptHandler() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor, &one, sizeof(one));
  state_->watcher.join();
  ::close(wake_descriptor);
  delete state_;
}

std::stop_token InterruptHandler::token() const { return state_->source.get_token(); }

}  // namespace nestor::cli
