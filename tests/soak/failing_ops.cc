// The N-th operation on a file fails, for every N of a workload of 200 operations: with EIO, with a
// write that takes half and then ENOSPC, and with ENOSPC from then on. The process goes on: a
// Status, then the database is closed, the disk is well again, and all that was acknowledged is
// there.
#include <errno.h>
#include <fmt/format.h>

#include <array>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

constexpr std::uint64_t kOps = 200;
constexpr std::uint64_t kOpsAfter = 15;  // a failure nobody was told of may still do harm
constexpr int kPastTheEnd = 10;          // exit code: there are fewer operations

struct Kind {
  const char* name;
  Action action;
  int error;
  bool sticky;
};

constexpr std::array<Kind, 4> kKinds = {
    {{"EIO", Action::kFail, EIO, false},
     {"short write, then ENOSPC", Action::kShortWrite, ENOSPC, true},
     {"ENOSPC from then on", Action::kFail, ENOSPC, true},
     {"EIO from then on", Action::kFail, EIO, true}}};

// What went on before the fault was met, and the one call it broke.
struct Course {
  Model acked;
  std::optional<PlannedOp> broken;
};

// Works until a call fails, or some calls after the fault.
Course work(Client& client, std::uint64_t seed) {
  Course course;
  std::uint64_t last = kOps;
  bool noticed = false;
  for (std::uint64_t number = 1; number <= last; ++number) {
    const PlannedOp op = plan_op(seed, number);
    const Status status = client.execute(op);
    if (!status.ok() && !sabotaged(kCountFailed)) {
      course.broken = op;
      life_page().refused = life_page().refused + 1;
      break;
    }
    apply(op, course.acked);
    if (!noticed && fault_state().fired != 0) {
      noticed = true;
      last = std::min(kOps, number + kOpsAfter);
    }
  }
  return course;
}

// A handle whose write failed goes on reading what was acknowledged, or says why not.
Status read_on(Client& client, const Course& course, const std::optional<Model>& broken) {
  if (!client.is_open() || fault_state().plan.sticky) return {};
  const Result<int> matched = client.match(course.acked, broken ? &*broken : nullptr);
  const bool wrong = !matched.ok() && matched.status().message().starts_with("WRONG");
  return wrong ? matched.status().with_context("reading on after the failure of " +
                                               (broken ? describe(*course.broken) : "open"))
               : Status();
}

int fail_and_recover(const std::string& path, std::uint64_t seed) {
  Client client(path);
  Course course;
  if (client.open().ok()) {
    course = work(client, seed);
  } else {
    life_page().refused = 1;
  }
  std::optional<Model> with_broken;
  if (course.broken) {
    with_broken = course.acked;
    apply(*course.broken, *with_broken);
  }
  if (const Status status = read_on(client, course, with_broken); !status.ok())
    return fail_life(status.to_string());
  if (client.is_open()) static_cast<void>(client.close());
  const bool met = fault_state().fired != 0;
  disarm();
  if (const Status status = client.open(); !status.ok())
    return fail_life("open on a well disk: " + status.to_string());
  const Result<int> matched = client.match(course.acked, with_broken ? &*with_broken : nullptr);
  if (!matched.ok()) return fail_life(matched.status().to_string());
  Model model = matched.value() == 1 ? *with_broken : course.acked;
  for (std::uint64_t number = kOps + 1; number <= kOps + 3; ++number) {
    const PlannedOp op = plan_op(seed, number);
    if (const Status status = client.execute(op); !status.ok()) {
      return fail_life(describe(op) + " on a well disk: " + status.to_string());
    }
    apply(op, model);
  }
  if (const Status status = client.check(model, seed); !status.ok())
    return fail_life(status.to_string());
  if (const Status status = client.close(); !status.ok())
    return fail_life("close: " + status.to_string());
  return met ? 0 : kPastTheEnd;
}

}  // namespace

HarnessReport soak_failing_ops(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  Random random(options.seed);
  const std::string path = folder + "/db";
  const auto run = [&](std::uint64_t number, const Kind& kind) {
    remove_folder(path);
    arm(path, {.action = kind.action,
               .at = number,
               .error = kind.error,
               .sticky = kind.sticky,
               .count_reads = true});
    return wait_for(start_child([&] { return fail_and_recover(path, options.seed); }));
  };
  // How many operations there are: a run that fails none.
  const Death whole = run(~std::uint64_t{0}, kKinds[0]);
  if (whole.code != kPastTheEnd) report.fail("without a failure: " + whole.describe());
  const std::uint64_t count = fault_state().count;
  report.counts["operations on files"] = count;
  const std::uint64_t all = count * kKinds.size();
  const std::uint64_t cycles = options.cycles != 0 ? std::min(options.cycles, all) : all;
  for (std::uint64_t i = 0; i < cycles; ++i) {
    // Every one, or as many spread evenly with a random beginning.
    const std::uint64_t cycle =
        options.only != 0 ? options.only - 1 : (i * all + random.below(all)) / cycles % all;
    const std::uint64_t number = cycles == all ? i / kKinds.size() + 1 : cycle / kKinds.size() + 1;
    const Kind& kind = kKinds[(cycles == all ? i : cycle) % kKinds.size()];
    const Death death = run(number, kind);
    ++report.cycles;
    if (life_page().refused != 0) ++report.counts["calls that failed with a status"];
    const bool past = death.exited && death.code == kPastTheEnd;
    if (past) ++report.counts["not met"];
    if (!death.clean() && !past &&
        report.fail(fmt::format("--only {}: operation {} fails with {}: {}",
                                (number - 1) * kKinds.size() + (&kind - kKinds.data()) + 1, number,
                                kind.name, death.describe()))) {
      break;
    }
    if (options.only != 0) break;
  }
  return report;
}

}  // namespace nestor::soak
