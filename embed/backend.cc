#include "embed/backend.h"

#include <vector>

#include "core/cpu_features.h"
#include "core/text.h"

namespace nestor::embed {
namespace {

Status not_here(Precision precision, const std::string& forced) {
  std::string names;
  for (const std::string& name : backend_names(precision)) {
    names += (names.empty() ? "" : ", ") + name;
  }
  return {StatusCode::kUnsupported, "NESTOR_FORCE_BACKEND is " + quote_for_message(forced) +
                                        ", which cannot be had here for " +
                                        precision_name(precision) + "; there is: " + names +
                                        ". Unset it to have one chosen."};
}

}  // namespace

std::span<const Backend* const> available_backends() {
  static const std::vector<const Backend*> kBackends = [] {
    std::vector<const Backend*> found;
    if (const Backend* const openblas = openblas_backend()) found.push_back(openblas);
    found.push_back(&vector_backend());
    found.push_back(&scalar_backend());
    return found;
  }();
  return kBackends;
}

std::vector<const TiledBackend*> available_tiled_backends(Precision precision) {
  const VectorUnits& units = vector_units();
  const bool avx512 = precision == Precision::kInt8 ? units.avx512_vnni : units.avx512_bf16;
  std::vector<const TiledBackend*> found;
  const auto add = [&](bool usable, const TiledBackend* backend) {
    if (usable && backend != nullptr) found.push_back(backend);
  };
  add(units.amx, amx_tables(precision));
  add(avx512, avx512_tables(precision));
  add(units.avx_vnni, avx2_vnni_tables(precision));
  add(units.avx2, avx2_tables(precision));
  add(true, scalar_tables(precision));
  return found;
}

std::vector<std::string> backend_names(Precision precision) {
  std::vector<std::string> names;
  if (precision == Precision::kF32) {
    for (const Backend* backend : available_backends()) names.emplace_back(backend->name);
  } else {
    for (const TiledBackend* backend : available_tiled_backends(precision)) {
      names.emplace_back(backend->name);
    }
  }
  return names;
}

Precision default_precision() {
  const bool vectors =
      available_tiled_backends(Precision::kInt8).front() != scalar_tables(Precision::kInt8);
  return vectors ? Precision::kInt8 : Precision::kF32;
}

Result<const Backend*> choose_backend(const std::string& forced) {
  const std::span<const Backend* const> backends = available_backends();
  if (forced.empty()) return backends.front();
  for (const Backend* backend : backends) {
    if (forced == backend->name) return backend;
  }
  return not_here(Precision::kF32, forced);
}

Result<const TiledBackend*> choose_tiled_backend(Precision precision, const std::string& forced) {
  const std::vector<const TiledBackend*> backends = available_tiled_backends(precision);
  if (forced.empty()) return backends.front();
  for (const TiledBackend* backend : backends) {
    if (forced == backend->name) return backend;
  }
  return not_here(precision, forced);
}

}  // namespace nestor::embed
