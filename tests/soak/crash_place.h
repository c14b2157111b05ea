// CrashPlace: in whose code a process ended that ran out of memory. RocksDB lets some failed
// allocations end the process; a crash in Nestor's own code is a finding.
// Threads: watch_crashes is called once, by a child before its work.
#pragma once

#include <string>

namespace nestor::soak {

// SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGALRM of this process note where they came from on
// the life page, then end the process as they would have: an alarm that a child sets says where it
// waits for ever.
void watch_crashes();
// What the last child noted: whether the innermost frame, but for those of the C and C++ libraries
// and of operator new, lay inside RocksDB. False where nothing was noted.
bool crashed_inside_rocksdb();

}  // namespace nestor::soak
