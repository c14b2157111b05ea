#include "tests/soak/life.h"

#include <fmt/format.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/soak/fault_layer.h"

namespace nestor::soak {

LifePage& life_page() {
  static LifePage* const page = [] {
    void* memory = ::mmap(nullptr, sizeof(LifePage), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    return new (memory) LifePage();
  }();
  return *page;
}

std::optional<Model> History::with_pending() const {
  if (!pending) return std::nullopt;
  Model model_with = model;
  apply(*pending, model_with);
  return model_with;
}

void History::learn() {
  const LifePage& page = life_page();
  if (!page.verified) return;  // what was unknown stays unknown
  if (page.matched == 1 && pending) apply(*pending, model);
  pending.reset();
  const std::uint64_t begun = page.begun;
  const std::uint64_t acked = page.acked;
  const std::uint64_t first = next_op;
  for (; next_op <= acked; ++next_op) {
    const bool failed = next_op - first < 64 && (page.failed >> (next_op - first) & 1) != 0;
    if (!failed) apply(plan_op(seed, next_op), model);
  }
  if (begun > acked) {
    pending = plan_op(seed, begun);
    next_op = begun + 1;
  }
}

std::string Death::describe() const {
  const char* const said = life_page().error.data();
  const std::string phase = fault_state().phase.data();
  if (exited) return fmt::format("exit code {} while '{}': {}", code, phase, said);
  return fmt::format("signal {} ({}) while '{}' {}", signal, ::strsignal(signal), phase, said);
}

pid_t start_child(const std::function<int()>& work) {
  LifePage& page = life_page();
  page.verified = false;
  page.matched = 0;
  page.begun = 0;
  page.acked = 0;
  page.refused = 0;
  page.failed = 0;
  page.answer = 0;
  page.error = {};
  ::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    const struct rlimit no_core {};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::_exit(work());
  }
  return child;
}

Death wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  // A fault that the child did not live to meet must not meet the parent, who clears up after it.
  disarm();
  if (WIFEXITED(status)) return {.exited = true, .code = WEXITSTATUS(status)};
  return {.signal = WTERMSIG(status)};
}

int fail_life(const std::string& what) {
  LifePage& page = life_page();
  std::strncpy(page.error.data(), what.c_str(), page.error.size() - 1);
  return 1;
}

int run_life(const LifePlan& plan, const History& history) {
  LifePage& page = life_page();
  Client client(plan.path);
  if (const Status status = client.open(); !status.ok())
    return fail_life("open: " + status.to_string());
  const std::optional<Model> with_pending = history.with_pending();
  const Result<int> matched = client.match(history.model, with_pending ? &*with_pending : nullptr);
  if (!matched.ok()) return fail_life(matched.status().to_string());
  if (plan.full_check) {
    const Model& model = matched.value() == 1 ? *with_pending : history.model;
    if (const Status status = client.check(model, plan.random); !status.ok())
      return fail_life(status.to_string());
  }
  page.matched = matched.value();
  page.begun = history.next_op - 1;
  page.acked = history.next_op - 1;
  page.verified = true;
  for (std::uint64_t i = 0; i < plan.op_count; ++i) {
    const PlannedOp op = plan_op(history.seed, history.next_op + i);
    page.begun = op.number;
    if (op.kind == OpKind::kReopen && !plan.may_reopen) continue;
    if (const Status status = client.execute(op); !status.ok()) {
      return fail_life(describe(op) + ": " + status.to_string());
    }
    page.acked = op.number;
  }
  if (plan.close_at_end) {
    if (const Status status = client.close(); !status.ok())
      return fail_life("close: " + status.to_string());
  }
  return 0;
}

}  // namespace nestor::soak
