// A kill in front of every operation on a file that a life makes, by name ("add.sync.rocksdb/log").
// Between two such operations nothing on disk changes, so these are all the points at which a kill
// can matter; and they are listed by running the life once, so that a new one is met without being
// written down anywhere.
#include <fmt/format.h>
#include <signal.h>

#include <cstring>
#include <functional>
#include <map>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

constexpr std::uint64_t kOps = 100;

// A life that is run again and again from the same beginning.
struct Scenario {
  std::string name;
  std::string source;             // a folder to begin with; empty: nothing
  std::uint64_t fingerprint = 0;  // of the source's documents
};

// Opens a database of any format and says what is in it.
int read_database(const std::string& path, bool read_only) {
  Client client(path);
  if (const Status status = client.open(read_only); !status.ok())
    return fail_life("open: " + status.to_string());
  const Result<std::uint64_t> all = fingerprint(client.database());
  if (!all.ok()) return fail_life(all.status().to_string());
  const auto verified = client.database().verify();
  if (!verified.ok()) return fail_life(verified.status().to_string());
  if (!verified.value().problems.empty())
    return fail_life("verify: " + verified.value().problems.front());
  life_page().answer = all.value();
  return client.close().ok() ? 0 : fail_life("close");
}

class PointRunner {
 public:
  PointRunner(const HarnessOptions& options, const std::string& folder, HarnessReport& report)
      : options_(options), path_(folder + "/db"), report_(report), random_(options.seed) {}

  void run(const Scenario& scenario) {
    const std::map<std::string, std::uint64_t> points = list(scenario);
    const std::uint64_t repeats = options_.cycles != 0 ? options_.cycles : 20;
    report_.counts["points of " + scenario.name] = points.size();
    for (const auto& [point, count] : points) {
      if (options_.list) fmt::print("{:6} {}\n", count, point);
      if (options_.list) continue;
      // By name, for lists of two runs may differ.
      if (std::hash<std::string>{}(point) % options_.parts != options_.part - 1) continue;
      std::uint64_t met = 0;
      for (std::uint64_t i = 0; i < repeats; ++i) {
        met += kill_at(scenario, point, 1 + random_.below(count)) ? 1 : 0;
        if (report_.failures.size() >= 10) return;
      }
      meet_first(scenario, point, repeats, met);
    }
  }

 private:
  // What RocksDB's threads do depends on when they run: the third of an operation may not come. The
  // first one nearly always does.
  void meet_first(const Scenario& scenario, const std::string& point, std::uint64_t repeats,
                  std::uint64_t met) {
    for (std::uint64_t i = 0; i < 2 * repeats && met < repeats; ++i) {
      met += kill_at(scenario, point, 1) ? 1 : 0;
      if (report_.failures.size() >= 10) return;
    }
    report_.counts["kills at points"] += met;
    if (met >= repeats) return;
    ++report_.counts["points met less often than asked"];
    fmt::print("  {}, {}: met {} times of {}; it depends on when RocksDB's own threads run\n",
               scenario.name, point, met, repeats);
  }

  void begin(const Scenario& scenario) {
    remove_folder(path_);
    if (!scenario.source.empty()) copy_folder(scenario.source, path_);
    history_ = {.seed = options_.seed, .model = {}, .pending = {}};
  }

  pid_t start(const Scenario& scenario, std::uint64_t ops) {
    return start_child([&] {
      if (!scenario.source.empty()) return read_database(path_, false);
      return run_life({.path = path_, .op_count = ops}, history_);
    });
  }

  std::map<std::string, std::uint64_t> list(const Scenario& scenario) {
    begin(scenario);
    fault_state().list_points = true;
    arm(path_, {});
    const Death death = wait_for(start(scenario, kOps));
    fault_state().list_points = false;
    if (!death.clean()) report_.fail(scenario.name + ", listing: " + death.describe());
    std::map<std::string, std::uint64_t> points;
    for (const std::string& name : listed_points()) ++points[name];
    return points;
  }

  bool kill_at(const Scenario& scenario, const std::string& point, std::uint64_t at) {
    begin(scenario);
    FaultPlan plan{
        .action = Action::kKill, .at = at, .random = static_cast<std::uint32_t>(random_.next())};
    std::memcpy(plan.point.data(), point.data(), std::min(point.size(), plan.point.size() - 1));
    arm(path_, plan);
    const Death death = wait_for(start(scenario, kOps));
    const std::string where =
        fmt::format("{}, killed at {} ({} of its kind)", scenario.name, point, at);
    const bool met = fault_state().fired != 0;
    disarm();
    ++report_.cycles;
    if (met != (death.signal == SIGKILL) || (!met && !death.clean())) {
      report_.fail(where + ": " + death.describe());
      return met;
    }
    history_.learn();
    report_.counts["operations acknowledged"] += history_.next_op - 1;
    const Death after = wait_for(start(scenario, 1));
    if (!after.clean()) report_.fail(where + ", then: " + after.describe());
    if (!scenario.source.empty() && life_page().answer != scenario.fingerprint) {
      report_.fail(where + ", then: the documents are others than before");
    }
    return met;
  }

  const HarnessOptions& options_;
  const std::string path_;
  HarnessReport& report_;
  Random random_;
  History history_;
};

}  // namespace

HarnessReport soak_kill_points(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  PointRunner runner(options, folder, report);
  runner.run({.name = "a life", .source = {}});
  for (const char* format : {"v1", "v2"}) {
    Scenario upgrade{.name = std::string("an upgrade of ") + format,
                     .source = std::string(NESTOR_SOURCE_DIR) + "/tests/compat/" + format};
    const Death death = wait_for(start_child([&] { return read_database(upgrade.source, true); }));
    if (!death.clean()) report.fail("the golden database: " + death.describe());
    upgrade.fingerprint = life_page().answer;
    runner.run(upgrade);
  }
  return report;
}

}  // namespace nestor::soak
