// Which of the scan kernels run on this machine, and the one in use. Threads: safe anywhere.
#pragma once

#include <span>

#include "index/scan_kernels.h"

namespace nestor::index {

// The preferred one first, the scalar one last.
std::span<const ScanKernels* const> available_scan_kernels();
// The preferred one, or the one that NESTOR_FORCE_BACKEND names if it names one of these.
const ScanKernels& scan_kernels();

}  // namespace nestor::index
