// The power goes at a random moment of a life; the next one begins on what the disk kept. RocksDB's
// files and ours alike: the fault layer notes both.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"
#include "tests/soak/power_cut.h"

namespace nestor::soak {

HarnessReport soak_power_loss(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  const std::uint64_t cycles = options.cycles != 0 ? options.cycles : 1000;
  History history{.seed = options.seed, .model = {}, .pending = {}};
  Random random(options.seed);
  std::string path = folder + "/db0";
  std::uint64_t typical_ops = 60;  // of a whole life
  for (std::uint64_t cycle = 1; cycle <= cycles; ++cycle) {
    if (cycle % 40 == 0) {  // the making of a database is cut too
      remove_folder(path);
      path = fmt::format("{}/db{}", folder, cycle);
      history = {.seed = history.seed + 1, .model = {}, .pending = {}};
    }
    ModelDisk disk(path);
    // At one of the operations on files: few or many, so that opening and working both have their
    // share.
    arm(path, {.action = Action::kKill,
               .at = 1 + random.below(random.one_in(3) ? 12 : typical_ops),
               .note = true,
               .random = static_cast<std::uint32_t>(random.next())});
    const LifePlan plan{.path = path, .op_count = 30, .random = random.next()};
    const Death death = wait_for(start_child([&] { return run_life(plan, history); }));
    typical_ops = 40 + random.below(160);
    ++report.cycles;
    if (death.signal != SIGKILL && !death.clean()) {
      report.fail(fmt::format("cycle {}: {}", cycle, death.describe()));
      return report;
    }
    if (life_page().verified) ++report.counts["lives checked"];
    const std::uint64_t before = history.next_op;
    history.learn();
    report.counts["operations acknowledged"] += history.next_op - before;
    for (const NotedOp& op : noted_ops()) disk.play(op);
    remove_folder(path);
    report.counts["files and folders that lost something"] +=
        static_cast<std::uint64_t>(disk.cut(path, random));
  }
  arm(path, {});
  const LifePlan plan{.path = path, .op_count = 0};
  const Death death = wait_for(start_child([&] { return run_life(plan, history); }));
  if (!death.clean()) report.fail("after the last cycle: " + death.describe());
  return report;
}

}  // namespace nestor::soak
