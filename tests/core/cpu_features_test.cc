#include "core/cpu_features.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <stdlib.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>

#include "core/file.h"

namespace nestor {
namespace {

TEST_CASE("features are named once each and belong to the processor's family") {
  const auto features = cpu_features();
  CHECK(std::set<std::string>(features.begin(), features.end()).size() == features.size());
  const bool arm = std::find(features.begin(), features.end(), "asimd") != features.end();
  const bool x86 = std::find(features.begin(), features.end(), "avx2") != features.end();
  if (arm) CHECK(std::string(cpu_architecture()) == "arm64");
  if (x86) CHECK(std::string(cpu_architecture()) == "x86-64");
  CHECK_FALSE((arm && x86));
}

#if defined(__x86_64__)
TEST_CASE("the kernel's listing agrees with the processor itself") {
  const auto features = cpu_features();
  const auto listed = [&](const char* name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  };
  CHECK(listed("avx2") == static_cast<bool>(__builtin_cpu_supports("avx2")));
  CHECK(listed("avx512f") == static_cast<bool>(__builtin_cpu_supports("avx512f")));
}
#endif

TEST_CASE("the count of processors follows what this process may run on") {
  CHECK(available_processor_count() >= 1);
  // Affinity belongs to a thread, so this one's is changed and ends with it.
  int alone = 0;
  std::thread([&] {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return;
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0) alone = available_processor_count();
  }).join();
  CHECK(alone == 1);
}

TEST_CASE("a quota of processor time counts like processors, rounded up and never below one") {
  CHECK(processors_within(64, {}) == 64);
  CHECK(processors_within(64, 2.0) == 2);
  CHECK(processors_within(64, 2.1) == 3);
  CHECK(processors_within(64, 0.05) == 1);
  CHECK(processors_within(2, 16.0) == 2);
  CHECK(processors_within(1, 0.5) == 1);
}

TEST_CASE("no more threads are useful than there are processors, and none asked for means all") {
  const int available = available_processor_count();
  CHECK(useful_thread_count(0) == available);
  CHECK(useful_thread_count(1) == 1);
  CHECK(useful_thread_count(available) == available);
  CHECK(useful_thread_count(100 * available) == available);
}

TEST_CASE("the forced backend is what the environment says") {
  const std::string before = environment("NESTOR_FORCE_BACKEND");
  setenv("NESTOR_FORCE_BACKEND", "scalar", 1);
  CHECK(forced_backend() == "scalar");
  unsetenv("NESTOR_FORCE_BACKEND");
  CHECK(forced_backend().empty());
  if (!before.empty()) setenv("NESTOR_FORCE_BACKEND", before.c_str(), 1);
}

}  // namespace
}  // namespace nestor
