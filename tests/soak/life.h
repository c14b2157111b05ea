// One life of the program under test: a forked process that opens the database, compares it with
// what was acknowledged to its parent, and goes on writing until it is killed or done. The parent
// never opens a database and never has a second thread, so that it can fork at any time. Threads:
// the parent's side belongs to one thread.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/soak/client.h"
#include "tests/soak/model.h"

namespace nestor::soak {

// In memory that parent and child share: what was acknowledged is known to the parent whatever
// becomes of the child.
struct LifePage {
  std::atomic<bool> verified;          // opened, compared, checked
  std::atomic<int> matched;            // Client::match
  std::atomic<std::uint64_t> begun;    // number of the operation that began last
  std::atomic<std::uint64_t> acked;    // and of the last one that returned ok
  std::atomic<std::uint64_t> refused;  // calls that failed where they may
  // One bit per operation of this life, the first one's lowest: it failed and changed nothing.
  std::atomic<std::uint64_t> failed;
  std::atomic<std::uint64_t> answer;  // what else a child has to say
  std::array<char, 2048> error;
};

// Made once, before any fork.
LifePage& life_page();

// What the parent knows.
struct History {
  std::uint64_t seed = 1;
  Model model;                       // all that was acknowledged
  std::optional<PlannedOp> pending;  // begun, not acknowledged: all of it or nothing
  std::uint64_t next_op = 1;

  // Takes in what a life left on the page.
  void learn();
  [[nodiscard]] std::optional<Model> with_pending() const;
};

struct LifePlan {
  std::string path;
  std::uint64_t op_count = 0;
  std::uint64_t random = 1;
  bool full_check = true;  // verify and searches beside the comparison
  bool close_at_end = true;
  bool may_reopen = true;  // false: the lock is held without a gap
};

struct Death {
  bool exited = false;
  int code = 0;
  int signal = 0;
  [[nodiscard]] bool clean() const { return exited && code == 0; }
  [[nodiscard]] std::string describe() const;  // with what the child said
};

// Forks; the child runs `work` and ends with what it returns. The page is cleared first.
pid_t start_child(const std::function<int()>& work);
Death wait_for(pid_t child);

// For the child: opens, compares, writes. 0, or 1 with the page's error set.
int run_life(const LifePlan& plan, const History& history);
// For the child: notes the error, returns 1.
int fail_life(const std::string& what);

}  // namespace nestor::soak
