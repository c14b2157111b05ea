// Memory, file descriptors and file sizes run out in the middle of a life, which goes on after the
// failure. On the calling thread a failed allocation is a Status and changes nothing; in RocksDB's
// own code it may end the process; whatever it is, what was acknowledged is there in the next life.
#include <errno.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <fstream>
#include <optional>

#include "tests/soak/crash_place.h"
#include "tests/soak/failing_new.h"
#include "tests/soak/fault_layer.h"
#include "tests/soak/harness.h"
#include "tests/soak/life.h"

namespace nestor::soak {
namespace {

enum class Shortage { kAllocation, kAllocationInOpen, kAddressSpace, kDescriptors, kFileSize };
constexpr std::array<const char*, 5> kNames = {"allocations", "allocations in open", "RLIMIT_AS",
                                               "RLIMIT_NOFILE", "RLIMIT_FSIZE"};
constexpr int kThrown = 20;  // exit code

void limit(int resource, rlim_t value) {
  struct rlimit now {};
  ::getrlimit(static_cast<__rlimit_resource_t>(resource), &now);
  now.rlim_cur = value;
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &now);
}

rlim_t address_space_in_use() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

void begin_shortage(Shortage shortage, Random& random) {
  if (shortage == Shortage::kAddressSpace)
    limit(RLIMIT_AS, address_space_in_use() + random.below(48 << 20));
  if (shortage == Shortage::kDescriptors) limit(RLIMIT_NOFILE, 3 + random.below(40));
  if (shortage == Shortage::kFileSize) {
    ::signal(SIGXFSZ, SIG_IGN);
    limit(RLIMIT_FSIZE, random.below(120'000));
  }
}

bool is_allocation(Shortage shortage) {
  return shortage == Shortage::kAllocation || shortage == Shortage::kAllocationInOpen;
}

// The number of the allocation that fails: small and large ones alike.
std::uint64_t which_allocation(Random& random) {
  return 1 + random.below(std::uint64_t{1} << (2 + random.below(11)));
}

Status run_op(Client& client, const PlannedOp& op, std::uint64_t allocation) {
  fail_allocation(allocation);
  Status status = client.execute(op);
  fail_allocation(0);
  return status;
}

// After a failed write the store takes no further ones; it then says so.
bool writing_is_over(const Status& status) {
  return status.message().find("open it again") != std::string::npos;
}

// The operations of one life. Where only one allocation failed, the store and every search are
// compared with what was acknowledged right behind it.
int run_ops(Client& client, const History& history, Model model, Shortage shortage,
            Random& random) {
  LifePage& page = life_page();
  constexpr std::uint64_t kOps = 25;
  const std::uint64_t calm = random.below(6);
  for (std::uint64_t i = 0; i < kOps; ++i) {
    const PlannedOp op = plan_op(history.seed, history.next_op + i);
    if (i == calm && !is_allocation(shortage) && shortage != Shortage::kDescriptors)
      begin_shortage(shortage, random);
    page.begun = op.number;
    const bool now = shortage == Shortage::kAllocation && i >= calm && random.one_in(2);
    const Status status = run_op(client, op, now ? which_allocation(random) : 0);
    if (status.ok() || sabotaged(kCountFailed)) {
      apply(op, model);
    } else {
      page.refused = page.refused + 1;
      // What became of this one only the next life can tell.
      if (writing_is_over(status) || !client.is_open()) break;
      page.failed = page.failed | std::uint64_t{1} << i;
      if (is_allocation(shortage)) {
        const Result<int> same = client.match(model, nullptr);
        if (!same.ok())
          return fail_life(describe(op) + " failed, and " + same.status().to_string());
        const Status checked = client.check(model, op.number);
        if (!checked.ok()) return fail_life(describe(op) + " failed, and " + checked.to_string());
      }
    }
    page.acked = op.number;
  }
  return 0;
}

// Opened well and compared before the shortage begins.
int live_in_shortage(const std::string& path, const History& history, Shortage shortage,
                     Random random) {
  if (const int failed =
          run_life({.path = path, .op_count = 0, .full_check = random.one_in(4)}, history);
      failed != 0) {
    return failed;
  }
  LifePage& page = life_page();
  Client client(path);
  if (shortage == Shortage::kAllocationInOpen) fail_allocation(which_allocation(random));
  if (shortage == Shortage::kDescriptors) begin_shortage(shortage, random);
  const Status opened = client.open();
  fail_allocation(0);
  if (!opened.ok()) {
    page.refused = 1;
    return opened.code() == StatusCode::kDataLoss
               ? fail_life("open in a shortage: " + opened.to_string())
               : 0;
  }
  const std::optional<Model> with_pending = history.with_pending();
  const int ran =
      run_ops(client, history, page.matched == 1 && with_pending ? *with_pending : history.model,
              shortage, random);
  if (ran == 0 && client.is_open()) static_cast<void>(client.close());
  return ran;
}

int live(const std::string& path, const History& history, Shortage shortage, std::uint64_t seed) {
  watch_crashes();
  try {
    return live_in_shortage(path, history, shortage, Random(seed));
  } catch (const std::exception& error) {
    fail_allocation(0);
    fail_life(fmt::format("{} came through the interface", error.what()));
    return kThrown;
  }
}

}  // namespace

HarnessReport soak_memory(const HarnessOptions& options, const std::string& folder) {
  HarnessReport report;
  const std::uint64_t cycles = options.cycles != 0 ? options.cycles : 1000;
  History history{.seed = options.seed, .model = {}, .pending = {}};
  Random random(options.seed);
  const std::string path = folder + "/db";
  for (std::uint64_t cycle = 1; cycle <= cycles; ++cycle) {
    const std::uint64_t choice = random.below(10);
    const auto shortage = static_cast<Shortage>(choice < 5 ? 0 : choice < 7 ? 1 : choice - 5);
    const char* const name = kNames[static_cast<std::size_t>(shortage)];
    const std::uint64_t seed = random.next();
    arm(path, {});
    const Death death = wait_for(start_child([&] { return live(path, history, shortage, seed); }));
    ++report.cycles;
    ++report.counts[name];
    if (life_page().refused != 0) ++report.counts["calls that failed with a status"];
    history.learn();
    const bool may_end = is_allocation(shortage) || shortage == Shortage::kAddressSpace;
    const bool ended = !death.exited && may_end && life_page().verified && crashed_inside_rocksdb();
    if (ended) ++report.counts["processes that ended inside RocksDB"];
    const bool fine = death.clean() || ended;
    if (!fine && report.fail(fmt::format("cycle {}, {}: {}", cycle, name, death.describe()))) break;
    if (death.exited && death.code == 1) break;  // the history goes no further
  }
  arm(path, {});
  const Death death =
      wait_for(start_child([&] { return run_life({.path = path, .op_count = 0}, history); }));
  if (!death.clean()) report.fail("after the last cycle: " + death.describe());
  return report;
}

}  // namespace nestor::soak
