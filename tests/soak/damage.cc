#include "tests/soak/damage.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "core/file.h"

namespace nestor::soak {

Damage next_damage(std::uint64_t turn, Random& random) {
  if (turn == 0) return Damage::kDelete;
  return static_cast<Damage>(std::min<std::uint64_t>(random.below(5), 4) % 3);
}

Damaged damage_file(const std::string& path, Damage damage, Random& random) {
  if (damage == Damage::kDelete) {
    std::filesystem::remove(path);
    return {};
  }
  const std::string before = read_file(path, std::uint64_t{1} << 30).value();
  std::string bytes = before;
  const std::uint64_t at = random.below(bytes.size());
  if (damage == Damage::kFlip) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
  if (damage == Damage::kCut) bytes.resize(at);
  if (damage == Damage::kZero) {
    const std::uint64_t page = random.one_in(2) ? 4096 : 512;
    const std::uint64_t begin = at / page * page;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(begin),
                std::min(page, bytes.size() - begin), '\0');
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return {.changed = bytes != before, .at = at};
}

}  // namespace nestor::soak
