// What this processor and kernel offer, as people and `doctor` want to read it, and which backend
// is forced. Threads: safe anywhere.
#pragma once

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

// Processors this process may run on.
int available_processor_count();
// The value of NESTOR_FORCE_BACKEND, or empty.
std::string forced_backend();

}  // namespace nestor
