// BpeTable: everything the BPE tokenizer looks up, as one blob of bytes that lies in a mapped file:
// nothing is built on opening, and only the pages that a text needs are touched.
//
// STORED: little-endian, version 1; a change is a new version. The sections, in this order:
//   header         64 bytes: magic "NESTORBP", u32 version, then the u32 of BpeTableCounts and
//   zeros byte ids       u32 x 256: the piece that stands for a byte of an unknown character page
//   numbers   u16 x 4352: by code point / 256, the character page + 1; 0 for none ranks u32 x
//   pieces: the order of merges, least first; the same for equal scores text offsets   u32 x
//   (pieces + 1): where a piece's text begins in the texts joins          a bit map of pairs of
//   characters, see may_join pages          u32 x 256 x pages: the symbol of a code point + 1; 0
//   for none piece slots    u32 x 2^piece_slot_bits: id + 1 in the low 21 bits, 11 bits of the
//   text's hash merge slots    u64 x 2^merge_slot_bits: left, right, merged (21 bits each), the top
//   bit set trie           12 bytes a node: u32 first child, u32 symbol + 1, u16 children, u8 byte,
//   u8 zero texts          the pieces' texts by id, with a space for U+2581
// Both hash tables are probed linearly. Symbols are the pieces, then the characters that stand in
// pieces without being one.
//
// The blob's checksum is its owner's business; yet every index read from it is checked before use,
// so that damaged bytes may give wrong ids, but ids of the vocabulary, in bounded time.
// Threads: constant after open; any number may call it.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "nestor/status.h"

namespace nestor::embed {

struct BpeTableCounts {
  std::uint32_t pieces = 0;
  std::uint32_t symbols = 0;
  std::uint32_t pages = 0;
  std::uint32_t piece_slot_bits = 0;
  std::uint32_t merge_slot_bits = 0;
  std::uint32_t trie_nodes = 0;
  std::uint32_t text_bytes = 0;
  std::uint32_t longest_piece_bytes = 0;
  std::uint32_t bos_id = 0;
  std::uint32_t eos_id = 0;
};

// Where the sections begin, in bytes from the blob's first.
struct BpeTableLayout {
  explicit BpeTableLayout(const BpeTableCounts& counts);
  std::uint64_t byte_ids, page_numbers, ranks, text_offsets, joins, pages, piece_slots, merge_slots,
      trie, texts, end;
};

class BpeTable {
 public:
  static constexpr std::string_view kMagic = "NESTORBP";
  static constexpr std::uint32_t kVersion = 1;
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  static constexpr unsigned kSymbolBits = 21;
  static constexpr std::uint32_t kMostSymbols = (1U << kSymbolBits) - 2;
  // A lookup gives up after so many slots. A table at most half full needs a few dozen.
  static constexpr std::uint32_t kMostProbes = 512;
  static constexpr std::uint32_t kPageCharacters = 256;
  static constexpr std::uint32_t kPageNumbers = 0x110000 / kPageCharacters;
  static constexpr std::uint32_t kTrieNodeBytes = 12;
  // Pairs of ASCII have a bit each; others share 2^19 by hash: 6 % of them taken by the genuine
  // vocabulary's 30,500.
  static constexpr unsigned kJoinHashBits = 19;
  static constexpr std::uint32_t kAsciiJoins = 128 * 128;
  static constexpr std::uint32_t kJoinBytes = (kAsciiJoins + (1U << kJoinHashBits)) / 8;

  // `bytes` must outlive the table. Errors: kDataLoss (no table, sizes that disagree), kUnsupported
  // (another version). Cost: touches the first page or two.
  static Result<BpeTable> open(std::span<const char> bytes);

  [[nodiscard]] const BpeTableCounts& counts() const { return counts_; }

  // The piece of one byte.
  [[nodiscard]] std::uint32_t byte_id(unsigned char byte) const {
    return u32(layout_.byte_ids + 4ULL * byte);
  }

  // The symbol of a character, or kNone. REQUIRES: a code point of Unicode.
  [[nodiscard]] std::uint32_t character(char32_t code_point) const {
    const std::uint32_t page =
        load<std::uint16_t>(layout_.page_numbers + 2ULL * (code_point / kPageCharacters)) - 1U;
    if (page >= counts_.pages) return kNone;
    const std::uint32_t symbol =
        u32(layout_.pages + 4ULL * (page * kPageCharacters + code_point % kPageCharacters)) - 1U;
    return symbol < counts_.symbols ? symbol : kNone;
  }

  // The piece that two neighbours merge into, or kNone.
  [[nodiscard]] std::uint32_t merged(std::uint32_t left, std::uint32_t right) const {
    if (left >= counts_.symbols || right >= counts_.symbols) return kNone;
    const std::uint64_t key = merge_key(left, right);
    std::uint64_t slot = merge_slot(key, counts_.merge_slot_bits);
    for (std::uint32_t probe = 0; probe < kMostProbes; ++probe) {
      const std::uint64_t entry = load<std::uint64_t>(layout_.merge_slots + 8 * slot);
      if (entry == 0) return kNone;
      if (entry >> kSymbolBits == key) {
        const auto piece = static_cast<std::uint32_t>(entry & ((1U << kSymbolBits) - 1));
        return piece < counts_.pieces ? piece : kNone;
      }
      slot = (slot + 1) & ((1ULL << counts_.merge_slot_bits) - 1);
    }
    return kNone;
  }

  // REQUIRES: a piece of the table.
  [[nodiscard]] std::uint32_t rank(std::uint32_t piece) const {
    return u32(layout_.ranks + 4ULL * piece);
  }

  // The piece of two characters or more that BPE makes of exactly this text (with spaces for
  // U+2581), or kNone.
  [[nodiscard]] std::uint32_t find_piece(std::string_view text) const;

  // False where no piece holds the two characters side by side: BPE never merges across, and a
  // text may be cut between them. True may be a false alarm.
  [[nodiscard]] bool may_join(char32_t left, char32_t right) const {
    const std::uint32_t bit = join_bit(left, right);
    return (load<std::uint8_t>(layout_.joins + bit / 8) >> (bit % 8) & 1U) != 0;
  }

  // The longest user-defined piece at the beginning of `text`. REQUIRES: not empty.
  struct UserDefined {
    std::uint32_t id = kNone;
    std::size_t bytes = 0;  // 0: none is there
  };
  [[nodiscard]] UserDefined user_defined_at(std::string_view text) const {
    const std::uint32_t node = first_nodes_[static_cast<unsigned char>(text.front())];
    return node == 0 ? UserDefined() : user_defined_from(node, text);
  }

  // Hashes of the format, for the builder too.
  static std::uint64_t piece_hash(std::string_view text);
  static std::uint64_t piece_slot(std::uint64_t hash, std::uint32_t bits) {
    return hash >> (64 - bits);
  }
  static std::uint32_t piece_tag(std::uint64_t hash) { return hash & 0x7FF; }
  static std::uint64_t merge_key(std::uint32_t left, std::uint32_t right) {
    return 1ULL << (2 * kSymbolBits) | static_cast<std::uint64_t>(left) << kSymbolBits | right;
  }
  static std::uint64_t merge_slot(std::uint64_t key, std::uint32_t bits) {
    return key * kMultiplier >> (64 - bits);
  }
  static std::uint32_t join_bit(char32_t left, char32_t right) {
    if ((left | right) < 128) return left * 128 + right;
    const std::uint64_t key = static_cast<std::uint64_t>(left) << kSymbolBits | right;
    return kAsciiJoins + static_cast<std::uint32_t>(key * kMultiplier >> (64 - kJoinHashBits));
  }

 private:
  // 2^64 divided by the golden ratio: Knuth, The Art of Computer Programming 3, section 6.4.
  static constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15;

  BpeTable(std::span<const char> bytes, const BpeTableCounts& counts)
      : bytes_(bytes), counts_(counts), layout_(counts) {}

  // Sections need no alignment.
  template <typename T>
  [[nodiscard]] T load(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }
  [[nodiscard]] std::uint32_t u32(std::uint64_t offset) const {
    return load<std::uint32_t>(offset);
  }
  [[nodiscard]] std::string_view text(std::uint32_t piece) const;

  struct TrieNode {
    std::uint32_t first_child = 0;
    std::uint32_t piece = kNone;  // that ends here
    std::uint16_t child_count = 0;
    unsigned char byte = 0;
  };
  [[nodiscard]] TrieNode trie_node(std::uint32_t index) const;
  // The child of that byte, or 0: node 0 is the root, nobody's child.
  [[nodiscard]] std::uint32_t trie_child(const TrieNode& parent, unsigned char byte) const;
  [[nodiscard]] UserDefined user_defined_from(std::uint32_t node, std::string_view text) const;

  std::span<const char> bytes_;
  BpeTableCounts counts_;
  BpeTableLayout layout_;
  // The trie's node of a first byte, or 0: nearly every character begins no user-defined piece.
  std::array<std::uint32_t, 256> first_nodes_ = {};
};

}  // namespace nestor::embed
