// What a bad disk does to a file, and what the harnesses of it share. Threads: free functions.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "tests/soak/model.h"

namespace nestor::soak {

enum class Damage { kFlip, kZero, kCut, kDelete, kReplace, kTurnInRecord };
inline constexpr std::array<const char*, 6> kDamageNames = {
    "a bit turned", "a page zeroed", "cut", "deleted", "replaced", "a bit turned beneath RocksDB"};

// For the `turn`-th damage of a kind of file: gone is gone, so that is done once; of the rest, most
// are bits.
Damage next_damage(std::uint64_t turn, Random& random);
struct Damaged {
  bool changed = true;   // false: a page that was zeros before
  std::uint64_t at = 0;  // where the byte or the end is; of a page, somewhere in it
};
// One of the first four.
Damaged damage_file(const std::string& path, Damage damage, Random& random);

}  // namespace nestor::soak
