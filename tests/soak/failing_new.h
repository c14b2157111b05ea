// operator new of this program: fails at a chosen allocation of the calling thread, RocksDB's on
// that thread included. Threads: each has its own count.
#pragma once

#include <cstdint>

namespace nestor::soak {

// The `number`-th allocation of this thread from now on fails, once; 0: none. Returns whether the
// one before was met.
bool fail_allocation(std::uint64_t number);

}  // namespace nestor::soak
