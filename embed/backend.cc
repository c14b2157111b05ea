#include "embed/backend.h"

#include <array>

#include "core/text.h"

namespace nestor::embed {

std::span<const Backend* const> available_backends() {
  static const std::array<const Backend*, 2> kBackends = {&openblas_backend(), &scalar_backend()};
  return kBackends;
}

Result<const Backend*> choose_backend(const std::string& forced) {
  const std::span<const Backend* const> backends = available_backends();
  if (forced.empty()) return backends.front();
  std::string names;
  for (const Backend* backend : backends) {
    if (forced == backend->name) return backend;
    names += (names.empty() ? "" : ", ") + std::string(backend->name);
  }
  return Status(StatusCode::kUnsupported, "NESTOR_FORCE_BACKEND is " + quote_for_message(forced) +
                                              ", which this version does not have; it has: " +
                                              names + ". Unset it to have one chosen.");
}

}  // namespace nestor::embed
