// The tiles of AMX in use: eight of them, 64 bytes wide, for as long as the object lives. In a
// nameless namespace and without intrinsics: each kernel file is compiled for processors of its
// own. The caller has asked the system for them (cpu_features). Layout of the configuration:
// Intel's manual, volume 1, "Programming with AMX". Threads: one object a thread at a time.
#pragma once

#include <cstdint>

#if defined(__x86_64__)

namespace nestor {
namespace {

class AmxTiles {
 public:
  // `rows_of(tile)`: 1 to 16.
  template <typename RowsOf>
  explicit AmxTiles(const RowsOf& rows_of) {
    alignas(64) Config config;
    for (int tile = 0; tile < 8; ++tile) {
      config.bytes_per_row[tile] = 64;
      config.rows[tile] = static_cast<std::uint8_t>(rows_of(tile));
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  ~AmxTiles() { asm volatile("tilerelease" ::: "memory"); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

 private:
  struct Config {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t bytes_per_row[16] = {};
    std::uint8_t rows[16] = {};
  };
};

}  // namespace
}  // namespace nestor

#endif
