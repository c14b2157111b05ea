// What the harnesses share: their options, where they work, how they report. Threads: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nestor::soak {

struct HarnessOptions {
  std::uint64_t cycles = 0;  // 0: the harness's own share
  std::uint64_t seed = 1;
  std::uint64_t only = 0;  // this one cycle alone, where cycles do not build on one another
  std::uint64_t part = 1;  // this one of `parts` that run side by side
  std::uint64_t parts = 1;
  bool list = false;  // print the points there are
};

// What a harness did and what it found. Empty `failures` is a pass.
struct HarnessReport {
  std::uint64_t cycles = 0;
  std::map<std::string, std::uint64_t> counts;
  std::vector<std::string> failures;
  bool skipped = false;  // what it needs is not on this machine

  // Notes a failure; true when there are so many that the harness should stop.
  bool fail(std::string what);
};

// The folder to work in: NESTOR_SOAK_FOLDER, else a new one in memory (/dev/shm) where there is
// room, else below TMPDIR. Removed by remove_work_folder unless something failed.
std::string make_work_folder();
void remove_folder(const std::string& path);
// The files of a folder as they are, holes and all.
void copy_folder(const std::string& from, const std::string& to);

HarnessReport soak_kill_random(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_kill_points(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_power_loss(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_failing_ops(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_bit_rot(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_cache_rot(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_allocations(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_memory(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_real_model(const HarnessOptions& options, const std::string& folder);
HarnessReport soak_threads(const HarnessOptions& options, const std::string& folder);

}  // namespace nestor::soak
