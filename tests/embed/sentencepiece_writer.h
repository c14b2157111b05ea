// Writes a vocabulary as the bytes of a tokenizer.model, so that tests can invent vocabularies that
// both tokenizers read. Threads: free functions, safe anywhere.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "embed/vocabulary.h"

namespace nestor::testing {

// What to write beside the pieces; the defaults are what Nestor reads.
struct SentencepieceSpecs {
  int model_type = 2;
  bool byte_fallback = true;
  std::string charsmap = {};
  bool add_dummy_prefix = false;
  bool remove_extra_whitespaces = false;
  bool escape_whitespaces = true;
};

inline void put_number(ByteWriter& out, int field, std::uint64_t value) {
  out.varint(static_cast<std::uint64_t>(field) << 3);
  out.varint(value);
}

inline void put_bytes(ByteWriter& out, int field, std::string_view value) {
  out.varint(static_cast<std::uint64_t>(field) << 3 | 2);
  out.string(value);
}

inline std::string sentencepiece_model(const embed::Vocabulary& vocabulary,
                                       const SentencepieceSpecs& specs = {}) {
  ByteWriter model, trainer, normalizer;
  for (const embed::Piece& piece : vocabulary.pieces) {
    ByteWriter message;
    put_bytes(message, 1, piece.text);
    message.varint(2 << 3 | 5);
    message.u32(std::bit_cast<std::uint32_t>(piece.score));
    put_number(message, 3, static_cast<std::uint64_t>(piece.kind));
    put_bytes(model, 1, message.bytes());
  }
  put_number(trainer, 3, static_cast<std::uint64_t>(specs.model_type));
  put_number(trainer, 35, specs.byte_fallback ? 1 : 0);
  put_bytes(trainer, 46, vocabulary.pieces[static_cast<std::size_t>(vocabulary.bos_id)].text);
  put_bytes(trainer, 47, vocabulary.pieces[static_cast<std::size_t>(vocabulary.eos_id)].text);
  put_bytes(model, 2, trainer.bytes());
  put_bytes(normalizer, 1, "identity");
  put_bytes(normalizer, 2, specs.charsmap);
  put_number(normalizer, 3, specs.add_dummy_prefix ? 1 : 0);
  put_number(normalizer, 4, specs.remove_extra_whitespaces ? 1 : 0);
  put_number(normalizer, 5, specs.escape_whitespaces ? 1 : 0);
  put_bytes(model, 3, normalizer.bytes());
  return model.take();
}

// The pieces that every vocabulary has: <pad>, <eos>, <bos>, <unk> and the 256 bytes.
inline embed::Vocabulary bare_vocabulary() {
  using embed::PieceKind;
  embed::Vocabulary vocabulary;
  vocabulary.bos_id = 2;
  vocabulary.eos_id = 1;
  vocabulary.unknown_id = 3;
  for (const char* text : {"<pad>", "<eos>", "<bos>"}) {
    vocabulary.pieces.push_back({text, 0, PieceKind::kControl});
  }
  vocabulary.pieces.push_back({"<unk>", 0, PieceKind::kUnknown});
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary.pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, PieceKind::kByte});
  }
  return vocabulary;
}

}  // namespace nestor::testing
