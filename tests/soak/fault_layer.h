// Every file operation of this program, met on its way to the kernel: the program defines open,
// write, fsync, rename and their like itself, and a symbol of the program goes before those of the
// C library, for RocksDB's shared library as for our own objects. So one layer sees RocksDB's files
// and ours alike, and no product code knows of it. An operation on a path below the watched folder
// can be counted, be the last one of the process, fail, or be noted down for power_cut.h.
//
// What the counts and notes are kept in is shared with children of fork(), so that a parent sees
// how far a child came that is dead. Threads: the operations may come from any thread, one at a
// time goes through.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nestor::soak {

enum class FileOp : std::uint8_t {
  kOpen = 0,
  kCreate,
  kWrite,
  kTruncate,
  kSync,
  kSyncFolder,
  kRename,
  kUnlink,
  kMakeFolder,
  kRead,
};

enum class Action : std::uint8_t {
  kPass = 0,
  kKill,        // SIGKILL in front of the operation; of a write, half of it may have been done
  kFail,        // the operation returns an error
  kShortWrite,  // a write takes half of its bytes and the next one fails with ENOSPC
};

// A build that is wrong on purpose, to show that a harness sees it. Bits.
enum Sabotage : std::uint32_t {
  kHonest = 0,
  kSkipFsync = 1,        // syncs of files do nothing and say they did
  kSkipFolderSync = 2,   // syncs of folders
  kLazyLog = 4,          // the log is written some writes later, as from a buffer of the program
  kIgnoreErrors = 8,     // operations that fail say they went well
  kSkipLock = 16,        // fcntl locks are granted to everybody
  kSkipChecksum = 32,    // hash64 is the same for all but words (sabotage.cc, as all that follow)
  kSkipDigest = 64,      // the digest of a collection stays as it is
  kSkipWatermark = 128,  // the mark is not asked at open
  kStaleView = 256,      // readers are now and then given the view of a commit before
  kCountFailed = 512,    // a call that failed counts as acknowledged
};

inline constexpr std::size_t kNameBytes = 80;
inline constexpr std::size_t kMostPoints = 1 << 16;
inline constexpr std::size_t kLogBytes = std::size_t{96} << 20;

// What is to happen. `point` empty: at the `at`-th operation that counts, from 1; else at the
// `at`-th that has this name.
struct FaultPlan {
  Action action = Action::kPass;
  std::uint64_t at = 0;
  std::array<char, kNameBytes> point = {};
  int error = 0;
  bool sticky = false;       // and at every one after it
  bool count_reads = false;  // opens and reads count too
  bool note = false;         // write the operations down
  std::uint32_t random = 1;
};

struct FaultState {
  FaultPlan plan;
  std::array<char, 512> root = {};
  std::array<char, 32> phase = {};
  std::atomic<std::uint64_t> count = 0;
  std::atomic<std::uint64_t> met = 0;  // of the plan's point
  std::atomic<std::uint64_t> fired = 0;
  std::atomic<std::uint32_t> sabotage = 0;
  std::atomic<bool> list_points = false;
  std::atomic<std::uint32_t> point_count = 0;
  std::atomic<std::uint64_t> log_size = 0;
  std::atomic<bool> log_full = false;
};

// Makes the shared memory; once, in the parent, before any fork.
void make_fault_layer();
FaultState& fault_state();
// From now on paths below `root` are watched, and `plan` holds. Counts begin at 0.
void arm(const std::string& root, const FaultPlan& plan);
void disarm();
// The first part of the names: what the program is doing. Of operations of other threads than the
// one that says so it is "background".
void set_phase(std::string_view phase);
// The names of the operations since arm() with list_points set, in order: "add.sync.rocksdb/log".
std::vector<std::string> listed_points();

// One noted operation. `file` is a number of the open file.
struct NotedOp {
  FileOp op = FileOp::kOpen;
  std::uint32_t file = 0;
  std::uint64_t offset = 0;  // or the new size
  std::string path;          // relative to the root
  std::string other;         // the new name, or the bytes written
};
std::vector<NotedOp> noted_ops();

// "rocksdb/log" for "rocksdb/000012.log", and so on: what a file is for, without its number.
std::string kind_of_file(std::string_view relative);

bool sabotaged(Sabotage what);

}  // namespace nestor::soak
