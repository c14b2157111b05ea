#include "tests/soak/crash_place.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "tests/soak/failing_new.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

constexpr int kMostFrames = 96;
constexpr std::uint64_t kNoted = 1;
constexpr std::uint64_t kInRocksdb = 2;

std::string_view library_of(const void* address) {
  Dl_info info{};
  if (::dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
  const std::string_view path = info.dli_fname;
  const std::size_t slash = path.rfind('/');
  return slash == path.npos ? path : path.substr(slash + 1);
}

bool is_runtime(std::string_view library) {
  for (const std::string_view name :
       {"libc.so", "libstdc++.so", "libgcc_s.so", "ld-linux", "libm.so", "linux-vdso"}) {
    if (library.starts_with(name)) return true;
  }
  return false;
}

// Frames of this file and of the signal's return lie in front of those that matter.
void note_crash(int signal) {
  LifePage& page = life_page();
  std::array<void*, kMostFrames> frames{};
  const int count = ::backtrace(frames.data(), kMostFrames);
  bool behind_signal = false;
  std::uint64_t answer = kNoted;
  for (int i = 0; i < count; ++i) {
    const std::string_view library = library_of(frames[static_cast<std::size_t>(i)]);
    if (!behind_signal) {  // the trampoline of the C library is the first frame of a library
      behind_signal = is_runtime(library);
      continue;
    }
    if (is_runtime(library) || is_operator_new(frames[static_cast<std::size_t>(i)])) continue;
    if (library.starts_with("librocksdb.so")) answer |= kInRocksdb;
    Dl_info info{};
    ::dladdr(frames[static_cast<std::size_t>(i)], &info);
    ::snprintf(
        page.error.data(), page.error.size(), "crashed in %.*s at %s (offset 0x%lx)",
        static_cast<int>(library.size()), library.data(),
        info.dli_sname == nullptr ? "a function without a name" : info.dli_sname,
        static_cast<unsigned long>(static_cast<const char*>(frames[static_cast<std::size_t>(i)]) -
                                   static_cast<const char*>(info.dli_fbase)));
    break;
  }
  page.answer = answer;
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

}  // namespace

void watch_crashes() {
  std::array<void*, 2> warm{};
  ::backtrace(warm.data(), 2);  // loads what it needs now
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM}) {
    struct sigaction action {};
    action.sa_handler = note_crash;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
}

bool crashed_inside_rocksdb() {
  const std::uint64_t answer = life_page().answer;
  return (answer & kNoted) != 0 && (answer & kInRocksdb) != 0;
}

}  // namespace nestor::soak
