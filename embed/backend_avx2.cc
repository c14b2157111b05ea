// Tables for AVX2 and FMA alone (Haswell and later, all Zens): int8 by multiply-add of bytes, bf16
// by widening.
#include "embed/tiled_backend.h"

#if defined(__x86_64__) && defined(__AVX2__)

#include "embed/backend_avx2_products.h"

namespace nestor::embed {

const TiledBackend* avx2_tables(Precision precision) {
  return precision == Precision::kInt8   ? &kTable<Precision::kInt8, false, Int8Lanes<false>>
         : precision == Precision::kBf16 ? &kTable<Precision::kBf16, false, Avx2Lanes<0>>
                                         : nullptr;
}

}  // namespace nestor::embed

#else

namespace nestor::embed {
const TiledBackend* avx2_tables(Precision) { return nullptr; }
}  // namespace nestor::embed

#endif
