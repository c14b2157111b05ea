// kill -9 at a random moment of a life, opening and checking included, with the oracle in the
// parent. Beside some lives another process tries to open the database for writing, and must be
// told who holds it, and another one reads, and must see one of the states that were committed
// meanwhile.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

void sleep_microseconds(std::uint64_t count) { ::usleep(static_cast<useconds_t>(count)); }

// Until the child is through its check, or dead.
bool wait_until_verified(pid_t child) {
  while (!life_page().verified) {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
      return false;
    if (info.si_pid == child) return life_page().verified;
    sleep_microseconds(200);
  }
  return true;
}

// In a process of its own: 0 refused with the holder's pid, 1 let in, 2 something else.
int try_to_write(const std::string& path, pid_t holder) {
  Client second(path);
  const Status status = second.open();
  if (status.ok()) return 1;
  const bool named = status.message().find(std::to_string(holder)) != std::string::npos;
  return status.code() == StatusCode::kLocked && named ? 0 : 2;
}

// In a process of its own, beside the writer: what it reads is one committed state.
int read_beside(const std::string& path, const History& history) {
  const LifePage& page = life_page();
  Model model = history.model;
  if (page.matched == 1 && history.pending) apply(*history.pending, model);
  const std::uint64_t acked_before = page.acked;
  Client reader(path);
  const Status opened = reader.open(true);
  // A writer that is busy making the database anew may keep a reader out; nothing wrong was shown.
  if (!opened.ok()) return opened.code() == StatusCode::kDataLoss ? 3 : 0;
  const std::uint64_t begun_after = page.begun;
  for (std::uint64_t op = history.next_op; op <= acked_before; ++op)
    apply(plan_op(history.seed, op), model);
  for (std::uint64_t op = std::max(history.next_op, acked_before + 1);; ++op) {
    if (reader.match(model, nullptr).ok()) return 0;
    if (op > begun_after) return 4;
    apply(plan_op(history.seed, op), model);
  }
}

// Asks of the child beside the living writer. Reading may outlive the writer; both are right.
void ask_beside(const std::string& path, const History& history, pid_t writer, bool write,
                HarnessReport& report) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(write ? try_to_write(path, writer) : read_beside(path, history));
  const Death death = wait_for(child);
  ++report.counts[write ? "second writers refused" : "readers beside a writer"];
  const bool alive = ::kill(writer, 0) == 0 && !life_page().error[0];
  if (!death.exited) report.fail(fmt::format("a second process: {}", death.describe()));
  if (death.exited && death.code != 0 && alive) {
    report.fail(fmt::format("a second process beside the writer: {}",
                            death.code == 1   ? "two writers at once"
                            : death.code == 2 ? "refused without the holder's pid"
                            : death.code == 3 ? "a reader was told of data loss"
                                              : "a reader saw no committed state"));
  }
}

}  // namespace

HarnessReport soak_kill_random(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  const std::uint64_t cycles = options.cycles != 0 ? options.cycles : 1000;
  History history{.seed = options.seed, .model = {}, .pending = {}};
  Random random(options.seed);
  std::string path = folder + "/db0";
  for (std::uint64_t cycle = 1; cycle <= cycles; ++cycle) {
    if (cycle % 250 == 0) {  // a new database now and then: its making is killed too
      remove_folder(path);
      path = fmt::format("{}/db{}", folder, cycle);
      history = {.seed = history.seed + 1, .model = {}, .pending = {}};
    }
    arm(path, {});
    const bool early = random.one_in(4);
    const bool ask = random.one_in(12);
    const LifePlan plan{
        .path = path, .op_count = 100'000, .random = random.next(), .may_reopen = !ask};
    const pid_t child = start_child([&] { return run_life(plan, history); });
    if (early) {
      sleep_microseconds(random.below(15'000));
    } else if (wait_until_verified(child)) {
      if (ask) ask_beside(path, history, child, random.one_in(2), report);
      sleep_microseconds(random.below(12'000));
    }
    ::kill(child, SIGKILL);
    const Death death = wait_for(child);
    ++report.cycles;
    if (death.signal != SIGKILL) {
      report.fail(fmt::format("cycle {}: {}", cycle, death.describe()));
      return report;  // the history goes no further
    }
    if (life_page().verified) ++report.counts["lives checked"];
    const std::uint64_t before = history.next_op;
    history.learn();
    report.counts["operations acknowledged"] += history.next_op - before;
    if (life_page().verified && history.pending) ++report.counts["calls cut short"];
  }
  // The last death is looked at as well.
  arm(path, {});
  const LifePlan plan{.path = path, .op_count = 0};
  const Death death = wait_for(start_child([&] { return run_life(plan, history); }));
  if (!death.clean()) report.fail("after the last cycle: " + death.describe());
  return report;
}

}  // namespace nestor::soak
