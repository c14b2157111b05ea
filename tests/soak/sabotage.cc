// Wrong builds: functions of the product that the linker routes through here (--wrap,
// CMakeLists.txt) and that do their work or, sabotaged, do not. Threads: those of the functions.
#include <atomic>
#include <string>
#include <string_view>

#include "core/hash.h"
#include "nestor/status.h"
#include "storage/rocksdb_store.h"
#include "tests/soak/fault_layer.h"

#define NESTOR_HASH64 "_ZN6nestor6hash64ESt17basic_string_viewIcSt11char_traitsIcEE"
#define NESTOR_ADD_TO_DIGEST \
  "_ZN6nestor7storage13add_to_digestERNS_7Hash128ESt17basic_string_viewIcSt11char_traitsIcEES6_"
#define NESTOR_TAKE_FROM_DIGEST                                                        \
  "_ZN6nestor7storage16take_from_digestERNS_7Hash128ESt17basic_string_viewIcSt11char_" \
  "traitsIcEES6_"
#define NESTOR_READ_WATERMARK \
  "_ZN6nestor7storage14read_watermarkERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEm"

namespace nestor::soak {

std::uint64_t real_hash64(std::string_view bytes) asm("__real_" NESTOR_HASH64);
std::uint64_t wrapped_hash64(std::string_view bytes) asm("__wrap_" NESTOR_HASH64);
std::uint64_t wrapped_hash64(std::string_view bytes) {
  // Short ones are the words of the hash encoder, whose vectors are to stay what they are.
  constexpr std::size_t kWord = 24;
  return sabotaged(kSkipChecksum) && bytes.size() > kWord ? 4711 : real_hash64(bytes);
}

using DigestStep = void(Hash128&, std::string_view, std::string_view);
DigestStep real_add asm("__real_" NESTOR_ADD_TO_DIGEST);
DigestStep wrapped_add asm("__wrap_" NESTOR_ADD_TO_DIGEST);
void wrapped_add(Hash128& digest, std::string_view key, std::string_view value) {
  if (!sabotaged(kSkipDigest)) real_add(digest, key, value);
}
DigestStep real_take asm("__real_" NESTOR_TAKE_FROM_DIGEST);
DigestStep wrapped_take asm("__wrap_" NESTOR_TAKE_FROM_DIGEST);
void wrapped_take(Hash128& digest, std::string_view key, std::string_view value) {
  if (!sabotaged(kSkipDigest)) real_take(digest, key, value);
}

Result<std::uint64_t> real_watermark(const std::string& folder,
                                     std::uint64_t id) asm("__real_" NESTOR_READ_WATERMARK);
Result<std::uint64_t> wrapped_watermark(const std::string& folder,
                                        std::uint64_t id) asm("__wrap_" NESTOR_READ_WATERMARK);
Result<std::uint64_t> wrapped_watermark(const std::string& folder, std::uint64_t id) {
  if (sabotaged(kSkipWatermark)) return std::uint64_t{0};
  return real_watermark(folder, id);
}

}  // namespace nestor::soak
