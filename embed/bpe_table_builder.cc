#include "embed/bpe_table_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "core/bytes.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/bpe_merger.h"
#include "embed/bpe_table.h"
#include "embed/code_point.h"

namespace nestor::embed {
namespace {

std::string with_plain_spaces(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const bool space = text.starts_with(kSpaceMark);
    plain += space ? ' ' : text.front();
    text.remove_prefix(space ? kSpaceMark.size() : 1);
  }
  return plain;
}

// The byte of "<0x0A>", or nothing.
std::optional<unsigned> byte_of(const std::string& text) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (text == fmt::format("<0x{:02X}>", byte)) return byte;
  }
  return std::nullopt;
}

std::size_t character_count(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; }));
}

class Builder {
 public:
  explicit Builder(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  Result<std::string> build() {
    NESTOR_RETURN_IF_ERROR(check_pieces());
    NESTOR_RETURN_IF_ERROR(check_special());
    collect_symbols();
    collect_user_defined();
    if (symbol_count_ > BpeTable::kMostSymbols) {
      return Status(StatusCode::kUnsupported,
                    fmt::format("the vocabulary has {} symbols, at most {} are known",
                                symbol_count_, BpeTable::kMostSymbols));
    }
    write_fixed_sections();
    NESTOR_ASSIGN_OR_RETURN(const BpeTable table, BpeTable::open(blob_));
    NESTOR_RETURN_IF_ERROR(insert_pieces(table));
    return std::move(blob_);
  }

 private:
  // Where BPE can make it: not in the piece lists of control, unknown and byte pieces, and not
  // spelled with a plain space, which sentencepiece turns into U+2581 before it looks.
  [[nodiscard]] bool may_occur(std::size_t id) const {
    const PieceKind kind = vocabulary_.pieces[id].kind;
    return (kind == PieceKind::kNormal || kind == PieceKind::kUserDefined) &&
           vocabulary_.pieces[id].text.find(' ') == std::string::npos;
  }
  [[nodiscard]] bool is_normal(std::size_t id) const {
    return may_occur(id) && vocabulary_.pieces[id].kind == PieceKind::kNormal;
  }

  [[nodiscard]] Status check_piece(std::size_t id) const {
    const Piece& piece = vocabulary_.pieces[id];
    const auto fail = [&](StatusCode code, const char* what) -> Status {
      return {code, fmt::format("the tokenizer's piece {} ({}) {}", id,
                                quote_for_message(piece.text), what)};
    };
    if (piece.text.empty()) return fail(StatusCode::kDataLoss, "is empty");
    if (piece.text.size() > kMostPieceBytes) return fail(StatusCode::kDataLoss, "is too long");
    if (find_invalid_utf8(piece.text)) return fail(StatusCode::kDataLoss, "is not UTF-8");
    if (!std::isfinite(piece.score)) return fail(StatusCode::kDataLoss, "has no finite score");
    switch (piece.kind) {
      case PieceKind::kNormal:
        break;
      case PieceKind::kUserDefined:
        if (piece.text.find('\0') != std::string::npos) {
          return fail(StatusCode::kUnsupported, "is user-defined and holds a NUL");
        }
        break;
      case PieceKind::kUnused:
        // sentencepiece splits it as its last occurrence anywhere in the text would be split:
        // no part of a text could be tokenized by itself.
        return fail(StatusCode::kUnsupported, "is an unused one, which Nestor does not know");
      case PieceKind::kUnknown:
      case PieceKind::kControl:
      case PieceKind::kByte:
        if (character_count(piece.text) == 1) {
          return fail(StatusCode::kUnsupported, "is a single character that no text may hold");
        }
        break;
      default:
        return fail(StatusCode::kDataLoss, "is of no known kind");
    }
    return {};
  }

  Status check_pieces() {
    std::unordered_set<std::string_view> texts;
    byte_ids_.fill(BpeTable::kNone);
    for (std::size_t id = 0; id < vocabulary_.pieces.size(); ++id) {
      NESTOR_RETURN_IF_ERROR(check_piece(id));
      const Piece& piece = vocabulary_.pieces[id];
      if (!texts.insert(piece.text).second) {
        return {StatusCode::kDataLoss,
                fmt::format("the tokenizer has the piece {} twice", quote_for_message(piece.text))};
      }
      if (piece.kind != PieceKind::kByte) continue;
      const std::optional<unsigned> byte = byte_of(piece.text);
      if (!byte.has_value()) {
        return {StatusCode::kDataLoss, fmt::format("the tokenizer's byte piece {} names no byte",
                                                   quote_for_message(piece.text))};
      }
      byte_ids_[*byte] = static_cast<std::uint32_t>(id);
    }
    return {};
  }

  [[nodiscard]] Status check_special() const {
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (byte_ids_[byte] == BpeTable::kNone) {
        return {StatusCode::kDataLoss, fmt::format("the tokenizer has no piece <0x{:02X}>", byte)};
      }
    }
    for (const int id : {vocabulary_.bos_id, vocabulary_.eos_id}) {
      if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_.pieces.size()) {
        return {StatusCode::kDataLoss,
                fmt::format("bos {} and eos {} are no ids of {} pieces", vocabulary_.bos_id,
                            vocabulary_.eos_id, vocabulary_.pieces.size())};
      }
    }
    return {};
  }

  // Texts, the symbol of every character that stands in a piece, and the pairs of them.
  void collect_symbols() {
    joins_.assign(BpeTable::kJoinBytes, '\0');
    texts_.resize(vocabulary_.pieces.size());
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      if (!is_normal(id)) continue;
      texts_[id] = with_plain_spaces(vocabulary_.pieces[id].text);
      const CodePoint first = decode_code_point(texts_[id], 0);
      if (first.bytes == texts_[id].size()) {
        characters_[first.value] = static_cast<std::uint32_t>(id);
      }
    }
    symbol_count_ = texts_.size();
    for (const std::string& text : texts_) {
      char32_t previous = 0;
      for (std::size_t at = 0; at < text.size();) {
        const CodePoint character = decode_code_point(text, at);
        if (characters_.try_emplace(character.value, symbol_count_).second) ++symbol_count_;
        if (at > 0) {
          const std::uint32_t bit = BpeTable::join_bit(previous, character.value);
          joins_[bit / 8] = static_cast<char>(joins_[bit / 8] | 1 << (bit % 8));
        }
        previous = character.value;
        at += character.bytes;
      }
    }
  }

  // The trie of the user-defined pieces, breadth first, so that a node's children lie together.
  void collect_user_defined() {
    struct Node {
      std::map<unsigned char, std::size_t> children;
      std::uint32_t piece = BpeTable::kNone;
    };
    std::vector<Node> nodes(1);
    for (std::size_t id = 0; id < vocabulary_.pieces.size(); ++id) {
      if (vocabulary_.pieces[id].kind != PieceKind::kUserDefined || !may_occur(id)) continue;
      std::size_t node = 0;
      for (const char byte : with_plain_spaces(vocabulary_.pieces[id].text)) {
        const auto [child, fresh] =
            nodes[node].children.try_emplace(static_cast<unsigned char>(byte), nodes.size());
        node = child->second;
        if (fresh) nodes.emplace_back();
      }
      nodes[node].piece = static_cast<std::uint32_t>(id);
    }
    struct Place {
      std::size_t node;
      unsigned char byte;
    };
    std::vector<Place> order = {{0, 0}};
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Node& node = nodes[order[i].node];
      trie_.u32(static_cast<std::uint32_t>(order.size()));
      trie_.u32(node.piece + 1);
      trie_.u8(static_cast<std::uint8_t>(node.children.size() & 0xFF));
      trie_.u8(static_cast<std::uint8_t>(node.children.size() >> 8));
      trie_.u8(order[i].byte);
      trie_.u8(0);
      for (const auto& [byte, child] : node.children) order.push_back({child, byte});
    }
    trie_node_count_ = order.size();
  }

  // Pieces in the order of their scores, best first; equal scores share a rank.
  [[nodiscard]] std::vector<std::uint32_t> ranks() const {
    const std::vector<Piece>& pieces = vocabulary_.pieces;
    std::vector<std::uint32_t> order(pieces.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order,
                             [&](auto a, auto b) { return pieces[a].score > pieces[b].score; });
    std::vector<std::uint32_t> ranks(pieces.size());
    for (std::size_t i = 1; i < order.size(); ++i) {
      ranks[order[i]] =
          ranks[order[i - 1]] + (pieces[order[i - 1]].score != pieces[order[i]].score ? 1 : 0);
    }
    return ranks;
  }

  void put(std::uint64_t offset, std::string_view bytes) {
    std::ranges::copy(bytes, blob_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  template <typename T>
  void put_value(std::uint64_t offset, T value) {
    std::memcpy(blob_.data() + offset, &value, sizeof(T));
  }
  template <typename T>
  [[nodiscard]] T value_at(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, blob_.data() + offset, sizeof(T));
    return value;
  }

  // All but the two hash tables, which are left empty.
  void write_fixed_sections() {
    std::map<char32_t, std::uint32_t> pages;  // code point / 256 -> page
    for (const auto& [code_point, symbol] : characters_) {
      pages.try_emplace(code_point / BpeTable::kPageCharacters, pages.size());
    }
    std::size_t text_bytes = 0, longest = 0, merged_count = 0;
    for (const std::string& text : texts_) {
      text_bytes += text.size();
      longest = std::max(longest, text.size());
      if (character_count(text) > 1) ++merged_count;
    }
    // Between a quarter and a half of the slots are taken.
    const auto slot_bits =
        std::max<std::uint32_t>(4, static_cast<std::uint32_t>(std::bit_width(2 * merged_count)));
    counts_ = {.pieces = static_cast<std::uint32_t>(texts_.size()),
               .symbols = static_cast<std::uint32_t>(symbol_count_),
               .pages = static_cast<std::uint32_t>(pages.size()),
               .piece_slot_bits = slot_bits,
               .merge_slot_bits = slot_bits,
               .trie_nodes = static_cast<std::uint32_t>(trie_node_count_),
               .text_bytes = static_cast<std::uint32_t>(text_bytes),
               .longest_piece_bytes = static_cast<std::uint32_t>(longest),
               .bos_id = static_cast<std::uint32_t>(vocabulary_.bos_id),
               .eos_id = static_cast<std::uint32_t>(vocabulary_.eos_id)};
    const BpeTableLayout layout(counts_);
    blob_.assign(layout.end, '\0');
    write_header();
    for (unsigned byte = 0; byte < 256; ++byte) {
      put_value(layout.byte_ids + 4ULL * byte, byte_ids_[byte]);
    }
    for (const auto& [number, page] : pages) {
      put_value(layout.page_numbers + 2ULL * number, static_cast<std::uint16_t>(page + 1));
    }
    for (const auto& [code_point, symbol] : characters_) {
      const std::uint64_t page = pages[code_point / BpeTable::kPageCharacters];
      const std::uint64_t at =
          page * BpeTable::kPageCharacters + code_point % BpeTable::kPageCharacters;
      put_value(layout.pages + 4 * at, symbol + 1);
    }
    std::uint32_t text_end = 0;
    const std::vector<std::uint32_t> piece_ranks = ranks();
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      put_value(layout.ranks + 4 * id, piece_ranks[id]);
      put(layout.texts + text_end, texts_[id]);
      text_end += static_cast<std::uint32_t>(texts_[id].size());
      put_value(layout.text_offsets + 4 * (id + 1), text_end);
    }
    put(layout.joins, joins_);
    put(layout.trie, trie_.bytes());
  }

  void write_header() {
    ByteWriter header;
    header.raw(BpeTable::kMagic);
    for (const std::uint32_t value :
         {BpeTable::kVersion, counts_.pieces, counts_.symbols, counts_.pages,
          counts_.piece_slot_bits, counts_.merge_slot_bits, counts_.trie_nodes, counts_.text_bytes,
          counts_.longest_piece_bytes, counts_.bos_id, counts_.eos_id}) {
      header.u32(value);
    }
    put(0, header.bytes());
  }

  // Which pairs can merge into a piece at all? A piece arises from two neighbours that arose inside
  // its own text, untouched by what stands around it: the merges inside happen in the same order
  // as if the piece stood alone. So BPE over the piece alone, up to its last merge, gives the only
  // pair that ever makes it, or shows that nothing does. One entry a piece is enough, where the
  // genuine vocabulary has two ways a piece to cut it into pieces. Shorter pieces go first, for
  // they are what longer ones are merged from.
  Status insert_pieces(const BpeTable& table) {
    std::vector<std::uint32_t> order;
    std::vector<std::size_t> lengths(texts_.size());
    for (std::size_t id = 0; id < texts_.size(); ++id) {
      lengths[id] = character_count(texts_[id]);
      if (is_normal(id)) order.push_back(static_cast<std::uint32_t>(id));
    }
    std::ranges::stable_sort(order, [&](auto a, auto b) { return lengths[a] < lengths[b]; });
    BpeMerger merger;
    for (const std::uint32_t id : order) {
      const std::string& text = texts_[id];
      if (holds_user_defined(table, text)) continue;  // is never merged across
      if (lengths[id] > 1) {
        const std::vector<BpeMerger::Symbol>& symbols = merger.merge(table, text);
        if (symbols.size() != 2) continue;
        NESTOR_RETURN_IF_ERROR(insert_merge(symbols[0].id, symbols[1].id, id));
        NESTOR_RETURN_IF_ERROR(insert_piece(id, text));
      }
    }
    return {};
  }

  static bool holds_user_defined(const BpeTable& table, std::string_view text) {
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (table.user_defined_at(text.substr(at)).bytes != 0) return true;
    }
    return false;
  }

  // The first empty one of `bits` slots of type T from `slot` on.
  template <typename T>
  Result<std::uint64_t> empty_slot(std::uint64_t section, std::uint64_t slot,
                                   std::uint32_t bits) const {
    for (std::uint32_t probe = 0; probe < BpeTable::kMostProbes; ++probe) {
      const std::uint64_t offset = section + sizeof(T) * ((slot + probe) & ((1ULL << bits) - 1));
      if (value_at<T>(offset) == 0) return offset;
    }
    return Status(StatusCode::kUnsupported,
                  "the tokenizer's pieces crowd in one place of a hash table; no known vocabulary "
                  "does");
  }

  Status insert_merge(std::uint32_t left, std::uint32_t right, std::uint32_t merged) {
    const std::uint64_t key = BpeTable::merge_key(left, right);
    const std::uint32_t bits = counts_.merge_slot_bits;
    NESTOR_ASSIGN_OR_RETURN(const std::uint64_t offset,
                            empty_slot<std::uint64_t>(BpeTableLayout(counts_).merge_slots,
                                                      BpeTable::merge_slot(key, bits), bits));
    put_value(offset, key << BpeTable::kSymbolBits | merged);
    return {};
  }

  Status insert_piece(std::uint32_t id, std::string_view text) {
    const std::uint64_t hash = BpeTable::piece_hash(text);
    const std::uint32_t bits = counts_.piece_slot_bits;
    NESTOR_ASSIGN_OR_RETURN(const std::uint64_t offset,
                            empty_slot<std::uint32_t>(BpeTableLayout(counts_).piece_slots,
                                                      BpeTable::piece_slot(hash, bits), bits));
    put_value(offset, BpeTable::piece_tag(hash) << BpeTable::kSymbolBits | (id + 1));
    return {};
  }

  const Vocabulary& vocabulary_;
  std::array<std::uint32_t, 256> byte_ids_ = {};
  std::vector<std::string> texts_;                // by id; empty where BPE never looks
  std::map<char32_t, std::uint32_t> characters_;  // -> symbol
  std::size_t symbol_count_ = 0;
  std::string joins_;
  ByteWriter trie_;
  std::size_t trie_node_count_ = 0;
  BpeTableCounts counts_;
  std::string blob_;
};

}  // namespace

Result<std::string> build_tokenizer_table(const Vocabulary& vocabulary) {
  return Builder(vocabulary).build();
}

}  // namespace nestor::embed
