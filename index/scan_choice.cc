#include "index/scan_choice.h"

#include <string>
#include <vector>

#include "core/cpu_features.h"

namespace nestor::index {
namespace {

std::vector<const ScanKernels*> find_kernels() {
  std::vector<const ScanKernels*> found;
  const VectorUnits& units = vector_units();
  const bool avx512 = units.avx512_vnni && units.avx512_vbmi && avx512_scan_kernels() != nullptr;
  if (avx512 && units.amx && amx_scan_kernels() != nullptr) found.push_back(amx_scan_kernels());
  if (avx512) {
    found.push_back(avx512_scan_kernels());
  }
  if (units.avx2 && avx2_scan_kernels() != nullptr) found.push_back(avx2_scan_kernels());
  found.push_back(&scalar_scan_kernels());
  return found;
}

// The variable also names backends of the encoder; a name that is none of ours means no wish here.
const ScanKernels& choose() {
  const std::string forced = forced_backend();
  for (const ScanKernels* kernels : available_scan_kernels()) {
    if (forced == kernels->name) return *kernels;
  }
  return *available_scan_kernels().front();
}

}  // namespace

std::span<const ScanKernels* const> available_scan_kernels() {
  static const std::vector<const ScanKernels*> kFound = find_kernels();
  return kFound;
}

const ScanKernels& scan_kernels() {
  static const ScanKernels& chosen = choose();
  return chosen;
}

}  // namespace nestor::index
