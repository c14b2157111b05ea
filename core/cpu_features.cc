#include "core/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/check.h"
#include "core/cpu_quota.h"
#include "core/file.h"

namespace nestor {

std::vector<std::string> cpu_features() {
  // What later backends can use; the kernel lists only what it also lets programs use.
  constexpr std::array kOfInterest = {
      "avx2",     "fma",         "f16c",        "avx_vnni", "avx512f",  "avx512bw",
      "avx512vl", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
      "asimd",    "asimddp",     "i8mm",        "bf16",     "sve"};
  std::ifstream file("/proc/cpuinfo");
  std::vector<std::string> found;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) {
      if (std::find(kOfInterest.begin(), kOfInterest.end(), word) != kOfInterest.end())
        found.push_back(word);
    }
    break;
  }
  return found;
}

const char* cpu_architecture() {
#if defined(__x86_64__)
  return "x86-64";
#elif defined(__aarch64__)
  return "arm64";
#else
  return "other";
#endif
}

namespace {

#if defined(__x86_64__)
// Linux gives a process the eight kilobytes of tile state only when it asks. Source:
// Documentation/arch/x86/xstate.rst of the Linux kernel.
bool request_tiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Bits of leaf 7 that not every compiler has a name for. Source: Intel's instruction reference,
// CPUID.
struct ExtendedFeatures {
  bool avx_vnni = false;
  bool amx = false;  // tiles, int8 and bf16

  ExtendedFeatures() {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
      constexpr unsigned kAmx = 1U << 22 | 1U << 24 | 1U << 25;  // bf16, tiles, int8
      amx = (d & kAmx) == kAmx;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) avx_vnni = (a >> 4 & 1) != 0;
  }
};

VectorUnits find_vector_units() {
  VectorUnits units;
  const ExtendedFeatures extended;
  __builtin_cpu_init();
  units.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  units.avx512 = units.avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl");
  units.avx512_vnni = units.avx512 && __builtin_cpu_supports("avx512vnni");
  units.avx512_vbmi = units.avx512 && __builtin_cpu_supports("avx512vbmi");
  units.avx512_bf16 = units.avx512 && __builtin_cpu_supports("avx512bf16");
  units.avx_vnni = units.avx2 && extended.avx_vnni;
  units.amx = units.avx512_bf16 && extended.amx && request_tiles();
  return units;
}
#else
VectorUnits find_vector_units() { return {}; }
#endif

}  // namespace

const VectorUnits& vector_units() {
  static const VectorUnits kUnits = find_vector_units();
  return kUnits;
}

int available_processor_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // On machines of more than 1,024 processors the set is too small.
  const int runnable = sched_getaffinity(0, sizeof set, &set) == 0
                           ? CPU_COUNT(&set)
                           : static_cast<int>(std::thread::hardware_concurrency());
  return processors_within(std::max(1, runnable), cpu_quota());
}

int processors_within(int processors, std::optional<double> quota) {
  if (!quota.has_value() || *quota >= processors) return processors;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

int useful_thread_count(int asked) {
  NESTOR_CHECK(asked >= 0, "a count of threads");
  const int available = available_processor_count();
  return asked == 0 ? available : std::min(asked, available);
}

std::string forced_backend() { return environment("NESTOR_FORCE_BACKEND"); }

}  // namespace nestor
