// What this processor and kernel offer, as people and `doctor` want to read it, and which backend
// is forced. Threads: safe anywhere.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace nestor {

// Names in use by the kernel's own listing ("avx2", "avx512f", "amx_int8", "asimd"), those that
// matter here.
std::vector<std::string> cpu_features();
// "x86-64", "arm64" or "other".
const char* cpu_architecture();
// The vector units that kernels are chosen by. Each holds only where processor, kernel and, for
// AMX, a permission asked for once allow it.
struct VectorUnits {
  bool avx2 = false;  // and FMA, F16C
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_vbmi = false;
  bool avx512_bf16 = false;
  bool amx = false;  // tiles, int8 and bf16
};
const VectorUnits& vector_units();

// Processors' worth of time this process may use, at least 1: those it may run on (affinity mask),
// and no more than the quota of its control groups, rounded up. Cost: 0.1 ms, some files of /proc.
int available_processor_count();
// `processors`, or the quota (cpu_quota.h) rounded up where that is less; at least 1.
int processors_within(int processors, std::optional<double> quota);
// What a thread count of the public options means: 0 is one thread per available processor, and
// more than that are of no use to anybody: those of a team would wait for ones that do not run.
int useful_thread_count(int asked);
// The value of NESTOR_FORCE_BACKEND, or empty.
std::string forced_backend();

}  // namespace nestor
