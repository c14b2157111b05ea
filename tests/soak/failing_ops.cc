// The N-th operation on a file fails, for every N of a workload of 200 operations: with EIO, with a
// write that takes half and then ENOSPC, and with ENOSPC from then on. The process goes on: a
// Status, then the database is closed, the disk is well again, and all that was acknowledged is
// there.
//
// The workload is cut where it closes and opens the database: what lies before a cut is a folder
// that is copied, and need not be done again for each N.
#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

constexpr std::uint64_t kOps = 200;
constexpr std::uint64_t kMostInSegment = 40;
constexpr std::uint64_t kOpsAfter = 8;  // a failure nobody was told of may still do harm
constexpr int kPastTheEnd = 10;         // exit code: there are fewer operations
constexpr std::uint64_t kNever = ~std::uint64_t{0};

struct Kind {
  const char* name;
  Action action;
  int error;
  bool sticky;
};

constexpr std::array<Kind, 4> kKinds = {
    {{"EIO", Action::kFail, EIO, false},
     {"ENOSPC from then on", Action::kFail, ENOSPC, true},
     {"EIO from then on", Action::kFail, EIO, true},
     {"short write, then ENOSPC", Action::kShortWrite, ENOSPC, true}}};  // of writes alone

constexpr std::size_t kEioForEver = 2;
constexpr unsigned kMostSeconds = 60;  // a call that hangs is a failure: SIGALRM ends the child

// What lies between two openings of the workload.
struct Segment {
  std::string folder;       // as the last one left it; none before the first
  Model model;              // what is in it
  std::uint64_t begin = 1;  // operations of the workload, from 1
  std::uint64_t end = 1;    // behind the last
  std::vector<std::string> file_ops;
};

// One failure. `only` is how a report names it, and --only takes it back.
struct Fault {
  std::size_t segment = 0;
  std::uint64_t number = 0;  // of the segment's operations on files, from 1
  std::size_t kind = 0;
  [[nodiscard]] std::uint64_t only() const {
    return (segment + 1) * 1'000'000 + number * 10 + kind;
  }
};

Fault fault_of(std::uint64_t only) {
  return {only / 1'000'000 - 1, only % 1'000'000 / 10, only % 10};
}

std::vector<Segment> cut_workload(std::uint64_t seed, const std::string& folder) {
  std::vector<Segment> segments(1);
  Model model;
  for (std::uint64_t number = 1; number <= kOps; ++number) {
    const PlannedOp op = plan_op(seed, number);
    Segment& last = segments.back();
    const bool full = number - last.begin >= kMostInSegment;
    if (number > last.begin && (op.kind == OpKind::kReopen || full)) {
      segments.push_back({.folder = fmt::format("{}/segment-{}", folder, segments.size()),
                          .model = model,
                          .begin = number,
                          .end = number,
                          .file_ops = {}});
    }
    apply(op, model);
    segments.back().end = number + 1;
  }
  return segments;
}

// Runs the workload once and keeps the folder at each cut.
int keep_segments(const std::string& path, std::uint64_t seed,
                  const std::vector<Segment>& segments) {
  for (const Segment& segment : segments) {
    if (!segment.folder.empty()) copy_folder(path, segment.folder);
    Client client(path);
    if (const Status status = client.open(); !status.ok()) return fail_life(status.to_string());
    for (std::uint64_t number = segment.begin; number < segment.end; ++number) {
      const PlannedOp op = plan_op(seed, number);
      if (const Status status = client.execute(op); !status.ok())
        return fail_life(describe(op) + ": " + status.to_string());
    }
    if (const Status status = client.close(); !status.ok()) return fail_life(status.to_string());
  }
  return 0;
}

// What went on before the fault was met, and the one call it broke.
struct Course {
  Model acked;
  std::optional<PlannedOp> broken;
};

// False: `op` was the one that broke.
bool step(Client& client, const PlannedOp& op, Course& course) {
  if (!client.execute(op).ok() && !sabotaged(kCountFailed)) {
    course.broken = op;
    life_page().refused = life_page().refused + 1;
    return false;
  }
  apply(op, course.acked);
  return true;
}

// Works until a call fails, or some calls after the fault; to the next opening where none came.
Course work(Client& client, std::uint64_t seed, const Segment& segment) {
  Course course{.acked = segment.model, .broken = {}};
  std::uint64_t after = 0;
  for (std::uint64_t number = segment.begin; number < segment.end; ++number) {
    if (!step(client, plan_op(seed, number), course)) return course;
    if (fault_state().fired != 0 && ++after > kOpsAfter) return course;
  }
  if (fault_state().fired == 0) {
    const bool closed = client.close().ok();
    if (fault_state().fired == 0) return course;
    if (!closed) life_page().refused = 1;
    if (!client.open().ok()) return course;
  }
  for (std::uint64_t i = after; i <= kOpsAfter; ++i) {
    if (!step(client, plan_op(seed, segment.end + i), course)) return course;
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

// The disk is well again: everything is there, and the database can be worked with.
int recover(Client& client, std::uint64_t seed, const Course& course,
            const std::optional<Model>& with_broken) {
  if (const Status status = client.open(); !status.ok())
    return fail_life("open on a well disk: " + status.to_string());
  const Result<int> matched = client.match(course.acked, with_broken ? &*with_broken : nullptr);
  if (!matched.ok()) return fail_life(matched.status().to_string());
  Model model = matched.value() == 1 ? *with_broken : course.acked;
  for (std::uint64_t number = 2 * kOps + 1; number <= 2 * kOps + 3; ++number) {
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
  return 0;
}

int fail_and_recover(const std::string& path, std::uint64_t seed, const Segment& segment) {
  Client client(path);
  Course course{.acked = segment.model, .broken = {}};
  if (client.open().ok()) {
    course = work(client, seed, segment);
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
  if (fault_state().fired == 0) return kPastTheEnd;
  disarm();
  return recover(client, seed, course, with_broken);
}

bool past_the_end(const Death& death) { return death.exited && death.code == kPastTheEnd; }

class FailingOps {
 public:
  FailingOps(const HarnessOptions& options, const std::string& folder, HarnessReport& report)
      : options_(options),
        path_(folder + "/db"),
        report_(report),
        segments_(cut_workload(options.seed, folder)) {}

  // The folders, and by a run that fails nothing how many operations there are, and which.
  bool prepare() {
    arm(path_, {});
    const Death kept =
        wait_for(start_child([&] { return keep_segments(path_, options_.seed, segments_); }));
    if (!kept.clean()) report_.fail("the workload: " + kept.describe());
    for (std::size_t i = 0; i < segments_.size() && kept.clean(); ++i) {
      fault_state().list_points = true;
      const Death death = run({.segment = i, .number = kNever});
      fault_state().list_points = false;
      if (!past_the_end(death)) report_.fail("without a failure: " + death.describe());
      segments_[i].file_ops = listed_points();
      report_.counts["operations on files"] += segments_[i].file_ops.size();
    }
    report_.counts["openings"] = segments_.size();
    return report_.failures.empty();
  }

  void run_only(std::uint64_t only) {
    const Fault fault = fault_of(only);
    if (fault.segment >= segments_.size() || fault.kind >= kKinds.size()) {
      report_.fail(fmt::format("--only {} names no failure of this workload", only));
      return;
    }
    try_one(fault);
  }

  // Every failure of every operation; of them, those of this process's part. By number, for the
  // lists of two processes may differ at their ends.
  void run_all() {
    for (std::size_t segment = 0; segment < segments_.size(); ++segment) {
      for (std::uint64_t number = 1; number <= segments_[segment].file_ops.size(); ++number) {
        if (number % options_.parts != options_.part - 1) continue;
        for (std::size_t kind = 0; kind < kinds_of(segment, number); ++kind) {
          // Nobody asked for this one, and it costs a quarter of the time.
          const bool skipped = kind == kEioForEver && number / options_.parts % 4 != 0;
          if (!skipped && try_one({segment, number, kind})) return;
        }
      }
    }
  }

  // So many, spread evenly with a random beginning.
  void run_share(std::uint64_t cycles) {
    std::vector<Fault> all;
    for (std::size_t segment = 0; segment < segments_.size(); ++segment) {
      for (std::uint64_t number = 1; number <= segments_[segment].file_ops.size(); ++number) {
        for (std::size_t kind = 0; kind < kinds_of(segment, number); ++kind)
          all.push_back({segment, number, kind});
      }
    }
    Random random(options_.seed);
    for (std::uint64_t i = 0; i < cycles; ++i) {
      const std::uint64_t at = (i * all.size() + random.below(all.size())) / cycles % all.size();
      if (try_one(all[at])) return;
    }
  }

 private:
  // A short write is one of writes; for the others it is the ENOSPC that is tried anyway.
  [[nodiscard]] std::size_t kinds_of(std::size_t segment, std::uint64_t number) const {
    const std::string& name = segments_[segment].file_ops[number - 1];
    return name.find(".write.") != name.npos ? kKinds.size() : kKinds.size() - 1;
  }

  Death run(const Fault& fault) {
    const Segment& segment = segments_[fault.segment];
    const Kind& kind = kKinds[fault.kind];
    disarm();
    remove_folder(path_);
    if (!segment.folder.empty()) copy_folder(segment.folder, path_);
    arm(path_, {.action = kind.action,
                .at = fault.number,
                .error = kind.error,
                .sticky = kind.sticky,
                .count_reads = true});
    return wait_for(start_child([&] {
      ::alarm(kMostSeconds);
      return fail_and_recover(path_, options_.seed, segment);
    }));
  }

  // True to stop.
  bool try_one(const Fault& fault) {
    Death death = run(fault);
    // The last of a segment may be done by RocksDB's own threads a moment later, or not at all.
    for (int again = 0; again < 3 && past_the_end(death); ++again) death = run(fault);
    ++report_.cycles;
    if (life_page().refused != 0) ++report_.counts["calls that failed with a status"];
    if (past_the_end(death)) ++report_.counts["not met in four runs"];
    if (death.clean() || past_the_end(death)) return false;
    const auto& names = segments_[fault.segment].file_ops;
    return report_.fail(
        fmt::format("--only {}: operation {} behind opening {} ({}) fails with {}: {}",
                    fault.only(), fault.number, fault.segment + 1,
                    fault.number <= names.size() ? names[fault.number - 1] : "none of the listed",
                    kKinds[fault.kind].name, death.describe()));
  }

  const HarnessOptions& options_;
  const std::string path_;
  HarnessReport& report_;
  std::vector<Segment> segments_;
};

}  // namespace

HarnessReport soak_failing_ops(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  FailingOps harness(options, folder, report);
  if (!harness.prepare()) return report;
  if (options.only != 0) {
    harness.run_only(options.only);
  } else if (options.cycles == 0) {
    harness.run_all();
  } else {
    harness.run_share(options.cycles);
  }
  return report;
}

}  // namespace nestor::soak
