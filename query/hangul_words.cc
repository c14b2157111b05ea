#include "query/hangul_words.h"

#include <unicode/utf8.h>

#include <algorithm>
#include <array>

namespace nestor::query {
namespace {

constexpr std::size_t kSyllableBytes = 3;  // of UTF-8

// Particles, copulas and the commonest verb endings, longest first.
constexpr std::array<std::string_view, 80> kParticles = {
    "했습니다", "였습니다", "었습니다", "았습니다", "에서는", "에서도", "에게서", "으로서",
    "으로써",   "으로는",   "까지는",   "부터는",   "이라는", "이라고", "입니다", "습니다",
    "합니다",   "됩니다",   "하였다",   "되었다",   "이에요", "에서",   "에게",   "에는",
    "에도",     "한테",     "께서",     "으로",     "로서",   "로써",   "로는",   "까지",
    "부터",     "처럼",     "보다",     "마다",     "조차",   "밖에",   "이나",   "이며",
    "이라",     "라는",     "라고",     "하고",     "하는",   "하다",   "했다",   "한다",
    "하며",     "되는",     "된다",     "이다",     "였다",   "었다",   "았다",   "들은",
    "들이",     "들을",     "들의",     "예요",     "니다",   "은",     "는",     "이",
    "가",       "을",       "를",       "의",       "에",     "도",     "만",     "와",
    "과",       "로",       "들",       "랑",       "야",     "다",     "요",     "까"};

}  // namespace

bool is_hangul(UChar32 c) { return c >= 0xAC00 && c <= 0xD7A3; }

bool is_hangul_word(std::string_view word) {
  if (word.empty() || word.size() % kSyllableBytes != 0) return false;
  for (std::size_t at = 0; at < word.size();) {
    UChar32 c = 0;
    U8_NEXT(word.data(), at, word.size(), c);
    if (!is_hangul(c)) return false;
  }
  return true;
}

std::size_t hangul_syllables(std::string_view word) { return word.size() / kSyllableBytes; }

std::vector<WordPiece> hangul_pairs(std::string_view word) {
  const std::size_t count = hangul_syllables(word);
  if (count <= 2) return {{0, word.size()}};
  std::vector<WordPiece> pairs;
  for (std::size_t i = 0; i + 2 <= count; ++i)
    pairs.push_back({i * kSyllableBytes, (i + 2) * kSyllableBytes});
  return pairs;
}

std::string_view without_particle(std::string_view word) {
  constexpr std::size_t kLeastBytes = 2 * kSyllableBytes;
  const auto* const found =
      std::find_if(kParticles.begin(), kParticles.end(), [&](std::string_view particle) {
        return word.size() >= particle.size() + kLeastBytes && word.ends_with(particle);
      });
  return found == kParticles.end() ? word : word.substr(0, word.size() - found->size());
}

std::string_view one_syllable_before_particle(std::string_view word) {
  if (hangul_syllables(word) < 2) return {};
  const std::string_view rest = word.substr(kSyllableBytes);
  const bool known = std::find(kParticles.begin(), kParticles.end(), rest) != kParticles.end();
  return known ? word.substr(0, kSyllableBytes) : std::string_view();
}

}  // namespace nestor::query
