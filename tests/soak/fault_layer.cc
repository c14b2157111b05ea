#include "tests/soak/fault_layer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "tests/soak/fault_meeting.h"

namespace nestor::soak {
namespace {

struct Shared {
  FaultState state;
  std::array<std::array<char, kNameBytes>, kMostPoints> points;
  std::array<char, kLogBytes> log;
};

Shared* shared = nullptr;
// Whether this thread said what the program is doing: what RocksDB's own threads do meanwhile is
// no part of that, and which call it meets is a matter of chance.
thread_local bool says_phase = false;

struct NoteHead {
  FileOp op;
  std::uint32_t file;
  std::uint64_t offset;
  std::uint32_t path_bytes;
  std::uint32_t other_bytes;
};

const char* op_name(FileOp op) {
  switch (op) {
    case FileOp::kOpen:
      return "open";
    case FileOp::kCreate:
      return "create";
    case FileOp::kWrite:
      return "write";
    case FileOp::kTruncate:
      return "truncate";
    case FileOp::kSync:
      return "sync";
    case FileOp::kSyncFolder:
      return "sync-folder";
    case FileOp::kRename:
      return "rename";
    case FileOp::kUnlink:
      return "unlink";
    case FileOp::kMakeFolder:
      return "make-folder";
    case FileOp::kRead:
      return "read";
  }
  return "?";
}

bool changes_files(FileOp op) { return op != FileOp::kOpen && op != FileOp::kRead; }

}  // namespace

void make_fault_layer() {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  // The mapping is zeros, which is what the members begin with; the large arrays stay untouched.
  shared = static_cast<Shared*>(memory);
  new (&shared->state) FaultState();
}

bool fault_state_missing() { return shared == nullptr; }

FaultState& fault_state() { return shared->state; }

void arm(const std::string& root, const FaultPlan& plan) {
  FaultState& state = shared->state;
  state.plan = plan;
  state.count = 0;
  state.met = 0;
  state.fired = 0;
  state.point_count = 0;
  state.log_size = 0;
  state.log_full = false;
  std::strncpy(state.root.data(), root.c_str(), state.root.size() - 1);
}

void disarm() { shared->state.plan = FaultPlan(); }

void set_phase(std::string_view phase) {
  says_phase = true;
  std::array<char, 32>& out = shared->state.phase;
  const std::size_t bytes = std::min(phase.size(), out.size() - 1);
  std::memcpy(out.data(), phase.data(), bytes);
  out[bytes] = '\0';
}

bool sabotaged(Sabotage what) { return shared != nullptr && (shared->state.sabotage & what) != 0; }

std::vector<std::string> listed_points() {
  std::vector<std::string> names;
  const std::size_t count = std::min<std::size_t>(shared->state.point_count, kMostPoints);
  for (std::size_t i = 0; i < count; ++i) names.emplace_back(shared->points[i].data());
  return names;
}

std::vector<NotedOp> noted_ops() {
  std::vector<NotedOp> ops;
  const char* at = shared->log.data();
  const char* const end = at + shared->state.log_size;
  while (at < end) {
    NoteHead head;
    std::memcpy(&head, at, sizeof head);
    at += sizeof head;
    NotedOp op{.op = head.op, .file = head.file, .offset = head.offset, .path = {}, .other = {}};
    op.path.assign(at, head.path_bytes);
    at += head.path_bytes;
    op.other.assign(at, head.other_bytes);
    at += head.other_bytes;
    ops.push_back(std::move(op));
  }
  return ops;
}

std::string kind_of_file(std::string_view relative) {
  const std::size_t slash = relative.rfind('/');
  const std::string folder(slash == relative.npos ? "" : relative.substr(0, slash + 1));
  const std::string_view name = slash == relative.npos ? relative : relative.substr(slash + 1);
  if (relative.empty()) return "folder";
  if (name.ends_with(".tmp")) return folder + std::string(name.substr(0, name.find('.'))) + ".tmp";
  if (folder == "cache/") {
    if (name.ends_with(".rowseg") || name.ends_with(".rowseg.rows"))
      return folder + std::string(name.substr(name.find('.') + 1));
    const std::size_t dash = name.find('-');
    return folder + std::string(dash == name.npos ? name : name.substr(dash + 1));
  }
  if (folder != "rocksdb/") return std::string(relative);
  if (name.ends_with(".log")) return folder + "log";
  if (name.ends_with(".sst")) return folder + "sst";
  if (name.ends_with(".dbtmp")) return folder + "dbtmp";
  if (name.starts_with("LOG")) return folder + "LOG";
  return folder + std::string(name.substr(0, name.find('-')));
}

bool is_watched(const char* path, std::string& relative) {
  if (shared == nullptr || shared->state.root[0] == '\0') return false;
  const char* const root = shared->state.root.data();
  const std::size_t bytes = std::strlen(root);
  if (std::strncmp(path, root, bytes) != 0) return false;
  if (path[bytes] != '\0' && path[bytes] != '/') return false;
  relative = path + bytes;
  while (relative.starts_with('/')) relative.erase(0, 1);
  while (relative.ends_with('/')) relative.pop_back();
  return true;
}

void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

Verdict meet(FileOp op, const std::string& relative) {
  FaultState& state = shared->state;
  const FaultPlan& plan = state.plan;
  if (plan.action == Action::kPass && !state.list_points) return {};
  if (!changes_files(op) && !plan.count_reads) return {};
  const std::uint64_t number = ++state.count;
  std::array<char, kNameBytes> name{};
  const std::string text = fmt::format("{}.{}.{}", says_phase ? state.phase.data() : "background",
                                       op_name(op), kind_of_file(relative));
  std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
  if (state.list_points) {
    const std::uint32_t slot = state.point_count.fetch_add(1);
    if (slot < kMostPoints) shared->points[slot] = name;
  }
  bool now = number == plan.at || (plan.sticky && number > plan.at);
  if (plan.point[0] != '\0') {
    now = std::strcmp(plan.point.data(), name.data()) == 0 && ++state.met == plan.at;
  }
  if (!now) return {};
  ++state.fired;
  switch (plan.action) {
    case Action::kPass:
      return {};
    case Action::kKill:
      return {.kill = true, .half = (plan.random & 1) != 0};
    case Action::kFail:
      return {.error = plan.error};
    case Action::kShortWrite:
      if (op != FileOp::kWrite) return {.error = plan.error};
      return {.error = number == plan.at ? 0 : plan.error, .half = true};
  }
  return {};
}

void note(FileOp op, std::uint32_t file, std::uint64_t offset, std::string_view path,
          std::string_view other) {
  if (shared == nullptr || !shared->state.plan.note) return;
  FaultState& state = shared->state;
  const NoteHead head{op, file, offset, static_cast<std::uint32_t>(path.size()),
                      static_cast<std::uint32_t>(other.size())};
  const std::size_t need = sizeof head + path.size() + other.size();
  // A log without its end is the log of a process that died there.
  if (state.log_size + need > kLogBytes) {
    state.log_full = true;
    die();
  }
  char* at = shared->log.data() + state.log_size;
  std::memcpy(at, &head, sizeof head);
  std::memcpy(at + sizeof head, path.data(), path.size());
  std::memcpy(at + sizeof head + path.size(), other.data(), other.size());
  state.log_size += need;
}

}  // namespace nestor::soak
