// Between the replaced file operations and the plan: what one operation is to do. Threads: the
// caller holds the one lock of the replaced operations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/soak/fault_layer.h"

namespace nestor::soak {

struct Verdict {
  bool kill = false;
  int error = 0;      // to be returned as errno
  bool half = false;  // of a write: half of the bytes first
};

// True until make_fault_layer() was called: nothing is watched then.
bool fault_state_missing();
// Whether `path` is below the watched folder; `relative` becomes the rest.
bool is_watched(const char* path, std::string& relative);
Verdict meet(FileOp op, const std::string& relative);
void note(FileOp op, std::uint32_t file, std::uint64_t offset, std::string_view path,
          std::string_view other);
[[noreturn]] void die();

}  // namespace nestor::soak
