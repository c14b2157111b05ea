#include "embed/bpe_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/macros.h"
#include "embed/vocabulary.h"

namespace nestor::embed {
namespace {

static_assert(std::endian::native == std::endian::little, "the table is read as it lies");

constexpr std::uint64_t kHeaderBytes = 64;
constexpr std::uint32_t kFewestSlotBits = 4;
constexpr std::uint32_t kMostSlotBits = 24;

Status damaged(const std::string& what) {
  return {StatusCode::kDataLoss,
          "the tokenizer table is damaged: " + what + "; pack the model again"};
}

Status check_counts(const BpeTableCounts& counts) {
  if (counts.pieces == 0 || counts.symbols < counts.pieces ||
      counts.symbols > BpeTable::kMostSymbols) {
    return damaged(fmt::format("{} pieces, {} symbols", counts.pieces, counts.symbols));
  }
  for (const std::uint32_t bits : {counts.piece_slot_bits, counts.merge_slot_bits}) {
    if (bits < kFewestSlotBits || bits > kMostSlotBits) {
      return damaged(fmt::format("a hash table of 2^{} slots", bits));
    }
  }
  if (counts.pages > BpeTable::kPageNumbers || counts.trie_nodes == 0) {
    return damaged(
        fmt::format("{} character pages, {} trie nodes", counts.pages, counts.trie_nodes));
  }
  if (counts.bos_id >= counts.pieces || counts.eos_id >= counts.pieces) {
    return damaged(
        fmt::format("bos {} and eos {} of {} pieces", counts.bos_id, counts.eos_id, counts.pieces));
  }
  return {};
}

}  // namespace

BpeTableLayout::BpeTableLayout(const BpeTableCounts& counts)
    : byte_ids(kHeaderBytes),
      page_numbers(byte_ids + 4 * 256),
      ranks(page_numbers + 2ULL * BpeTable::kPageNumbers),
      text_offsets(ranks + 4ULL * counts.pieces),
      joins(text_offsets + 4 * (counts.pieces + 1ULL)),
      pages(joins + BpeTable::kJoinBytes),
      piece_slots(pages + 4ULL * BpeTable::kPageCharacters * counts.pages),
      merge_slots(piece_slots + (4ULL << counts.piece_slot_bits)),
      trie(merge_slots + (8ULL << counts.merge_slot_bits)),
      texts(trie + static_cast<std::uint64_t>(BpeTable::kTrieNodeBytes) * counts.trie_nodes),
      end(texts + counts.text_bytes) {}

Result<BpeTable> BpeTable::open(std::span<const char> bytes) {
  ByteReader reader(std::string_view(bytes.data(), bytes.size()));
  std::string_view magic;
  std::uint32_t version = 0;
  if (bytes.size() < kHeaderBytes || !reader.raw(kMagic.size(), magic) || magic != kMagic) {
    return damaged(fmt::format("its {} bytes do not begin with {}", bytes.size(), kMagic));
  }
  BpeTableCounts counts;
  reader.u32(version);
  for (std::uint32_t* field :
       {&counts.pieces, &counts.symbols, &counts.pages, &counts.piece_slot_bits,
        &counts.merge_slot_bits, &counts.trie_nodes, &counts.text_bytes,
        &counts.longest_piece_bytes, &counts.bos_id, &counts.eos_id}) {
    reader.u32(*field);
  }
  if (version != kVersion) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("the tokenizer table has version {}, this Nestor reads {}; pack the "
                              "model again",
                              version, kVersion));
  }
  NESTOR_RETURN_IF_ERROR(check_counts(counts));
  BpeTable table(bytes, counts);
  if (table.layout_.end != bytes.size()) {
    return damaged(fmt::format("{} bytes, its header says {}", bytes.size(), table.layout_.end));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::uint32_t id = table.byte_id(static_cast<unsigned char>(byte));
    if (id >= counts.pieces) {
      return damaged(fmt::format("byte {} is the piece {} of {}", byte, id, counts.pieces));
    }
  }
  const TrieNode root = table.trie_node(0);
  for (unsigned byte = 0; byte < 256; ++byte) {
    table.first_nodes_[byte] = table.trie_child(root, static_cast<unsigned char>(byte));
  }
  return table;
}

std::uint64_t BpeTable::piece_hash(std::string_view text) { return hash64(text); }

std::string_view BpeTable::text(std::uint32_t piece) const {
  const std::uint32_t begin = u32(layout_.text_offsets + 4ULL * piece);
  const std::uint32_t end = u32(layout_.text_offsets + 4ULL * piece + 4);
  if (begin > end || end > counts_.text_bytes) return {};
  return {bytes_.data() + layout_.texts + begin, end - begin};
}

std::uint32_t BpeTable::find_piece(std::string_view text) const {
  if (text.size() > counts_.longest_piece_bytes) return kNone;
  const std::uint64_t hash = piece_hash(text);
  std::uint64_t slot = piece_slot(hash, counts_.piece_slot_bits);
  for (std::uint32_t probe = 0; probe < kMostProbes; ++probe) {
    const std::uint32_t entry = u32(layout_.piece_slots + 4 * slot);
    if (entry == 0) return kNone;
    const std::uint32_t piece = (entry & ((1U << kSymbolBits) - 1)) - 1U;
    if (entry >> kSymbolBits == piece_tag(hash) && piece < counts_.pieces &&
        this->text(piece) == text) {
      return piece;
    }
    slot = (slot + 1) & ((1ULL << counts_.piece_slot_bits) - 1);
  }
  return kNone;
}

BpeTable::TrieNode BpeTable::trie_node(std::uint32_t index) const {
  const std::uint64_t at = layout_.trie + static_cast<std::uint64_t>(kTrieNodeBytes) * index;
  return {.first_child = u32(at),
          .piece = u32(at + 4) - 1U,
          .child_count = std::min<std::uint16_t>(load<std::uint16_t>(at + 8), 256),
          .byte = load<unsigned char>(at + 10)};
}

std::uint32_t BpeTable::trie_child(const TrieNode& parent, unsigned char byte) const {
  for (std::uint32_t i = 0; i < parent.child_count; ++i) {
    const std::uint64_t index = static_cast<std::uint64_t>(parent.first_child) + i;
    if (index >= counts_.trie_nodes) return 0;
    if (trie_node(static_cast<std::uint32_t>(index)).byte == byte) {
      return static_cast<std::uint32_t>(index);
    }
  }
  return 0;
}

BpeTable::UserDefined BpeTable::user_defined_from(std::uint32_t node, std::string_view text) const {
  UserDefined longest;
  const std::size_t most = std::min(text.size(), kMostPieceBytes);
  for (std::size_t bytes = 1; node != 0; ++bytes) {
    const TrieNode here = trie_node(node);
    // A damaged trie must not send the caller into the middle of a character.
    const bool whole = bytes == text.size() || (static_cast<unsigned char>(text[bytes]) >> 6) != 2;
    if (here.piece < counts_.pieces && whole) longest = {here.piece, bytes};
    if (bytes == most) break;
    node = trie_child(here, static_cast<unsigned char>(text[bytes]));
  }
  return longest;
}

}  // namespace nestor::embed
