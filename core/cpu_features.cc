#include "core/cpu_features.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <thread>

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

int available_processor_count() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::string forced_backend() { return environment("NESTOR_FORCE_BACKEND"); }

}  // namespace nestor
