// nestor_soak: the harnesses that try to make Nestor lose what it acknowledged. See README.md
// beside this file.
#include <fmt/format.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <map>
#include <random>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"

namespace nestor::soak {
namespace {

using Harness = HarnessReport (*)(const HarnessOptions&, const std::string&);

const std::map<std::string, Harness>& harnesses() {
  static const std::map<std::string, Harness> kAll = {
      {"kill-random", soak_kill_random}, {"kill-points", soak_kill_points},
      {"power-loss", soak_power_loss},   {"failing-ops", soak_failing_ops},
      {"bit-rot", soak_bit_rot},         {"cache-rot", soak_cache_rot},
      {"memory", soak_memory},           {"allocations", soak_allocations},
      {"real-model", soak_real_model},   {"threads", soak_threads}};
  return kAll;
}

const std::map<std::string, Sabotage>& sabotages() {
  static const std::map<std::string, Sabotage> kAll = {
      {"skip-fsync", kSkipFsync},   {"skip-folder-sync", kSkipFolderSync},
      {"lazy-log", kLazyLog},       {"ignore-errors", kIgnoreErrors},
      {"skip-lock", kSkipLock},     {"skip-checksum", kSkipChecksum},
      {"skip-digest", kSkipDigest}, {"skip-watermark", kSkipWatermark},
      {"stale-view", kStaleView},   {"count-failed", kCountFailed}};
  return kAll;
}

void print_report(const std::string& name, const HarnessOptions& options,
                  const HarnessReport& report, double seconds) {
  fmt::print("{} seed {}: {} cycles in {:.1f} s, {} failures", name, options.seed, report.cycles,
             seconds, report.failures.size());
  for (const auto& [what, count] : report.counts) fmt::print("; {} {}", count, what);
  fmt::print("\n");
  for (const std::string& failure : report.failures) fmt::print("  {}\n", failure);
  ::fflush(stdout);
}

// Symbols are looked up once, here, and not by every child anew.
void start_again_bound(char** arguments) {
  if (::getenv("LD_BIND_NOW") != nullptr) return;
  ::setenv("LD_BIND_NOW", "1", 1);
  ::execv("/proc/self/exe", arguments);
}

bool parse_part(const std::string& text, HarnessOptions& options) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return false;
  options.part = ::strtoull(text.c_str(), nullptr, 10);
  options.parts = ::strtoull(text.c_str() + slash + 1, nullptr, 10);
  return options.part >= 1 && options.part <= options.parts;
}

int run(int argc, char** argv) {
  CLI::App app("Tries to make Nestor lose what it acknowledged");
  std::string name;
  std::string sabotage;
  std::string part;
  bool expect_failure = false;
  HarnessOptions options;
  options.seed = 0;
  std::map<std::string, std::string> names;
  for (const auto& entry : harnesses()) names[entry.first] = entry.first;
  app.add_option("harness", name)->required()->check(CLI::IsMember(names));
  app.add_option("--cycles", options.cycles, "how many; 0: the share of the CI table");
  app.add_option("--seed", options.seed, "as printed by an earlier run; 0: a new one");
  app.add_option("--only", options.only, "this cycle alone (failing-ops, bit-rot, memory)");
  app.add_option("--part", part,
                 "1/3: this of three parts that run side by side (allocations, bit-rot, cache-rot, "
                 "failing-ops, kill-points)");
  app.add_option("--sabotage", sabotage, "be a wrong build")->check(CLI::IsMember(sabotages()));
  app.add_flag("--expect-failure", expect_failure,
               "0 when something was found, 1 when nothing was");
  app.add_flag("--list", options.list, "print the points there are (kill-points)");
  CLI11_PARSE(app, argc, argv);
  if (!part.empty() && !parse_part(part, options)) {
    fmt::print(stderr, "--part {} is no part; it is the number of one and of all, as in 1/3\n",
               part);
    return 2;
  }
  if (options.seed == 0) options.seed = std::random_device()() % 1'000'000 + 1;

  make_fault_layer();
  if (!sabotage.empty()) fault_state().sabotage = sabotages().at(sabotage);
  fmt::print("{} seed {}{}\n", name, options.seed,
             sabotage.empty() ? "" : ", sabotage " + sabotage);
  const std::string folder = make_work_folder();
  const auto begin = std::chrono::steady_clock::now();
  const HarnessReport report = harnesses().at(name)(options, folder);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  print_report(name, options, report, seconds.count());
  const bool passed = report.failures.empty();
  if (passed || expect_failure) {
    remove_folder(folder);
  } else {
    fmt::print("  the databases are left in {}\n", folder);
  }
  return passed == expect_failure && !report.skipped ? 1 : 0;
}

}  // namespace
}  // namespace nestor::soak

int main(int argc, char** argv) {
  nestor::soak::start_again_bound(argv);
  return nestor::soak::run(argc, argv);
}
