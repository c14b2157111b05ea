// The int8 table for AVX-VNNI: 256-bit registers that multiply bytes in one instruction.
#include "embed/tiled_backend.h"

#if defined(__x86_64__) && defined(__AVXVNNI__)

#include "embed/backend_avx2_products.h"

namespace nestor::embed {

const TiledBackend* avx2_vnni_tables(Precision precision) {
  return precision == Precision::kInt8 ? &kTable<Precision::kInt8, true, Int8Lanes<true>> : nullptr;
}

}  // namespace nestor::embed

#else

namespace nestor::embed {
const TiledBackend* avx2_vnni_tables(Precision) { return nullptr; }
}  // namespace nestor::embed

#endif
