// operator new of this program: fails at a chosen allocation of the calling thread, RocksDB's on
// that thread included. Threads: each has its own count.
#pragma once

#include <cstdint>

namespace nestor::soak {

// The `number`-th allocation of this thread inside calls of the library fails, once; 0: none.
// Returns whether the one before was met.
bool fail_allocation(std::uint64_t number);

// Whether the address lies in this program's operator new.
bool is_operator_new(const void* address);

// While one lives, this thread is inside a call of the library: what the program itself allocates
// for its arguments does not count.
class InsideCall {
 public:
  InsideCall();
  ~InsideCall();
  InsideCall(const InsideCall&) = delete;
  InsideCall& operator=(const InsideCall&) = delete;
};

template <typename Call>
auto call_library(const Call& call) {
  const InsideCall inside;
  return call();
}

}  // namespace nestor::soak
