// Vocabulary: the pieces of a sentencepiece BPE model as plain values, wherever they come from
// (tokenizer.model or the metadata of a GGUF). Both are untrusted bytes.
//
// Threads: values and free functions, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::embed {

// Numbers of ModelProto.SentencePiece.Type in sentencepiece_model.proto, which
// tokenizer.ggml.token_type of GGUF uses too.
enum class PieceKind : std::uint8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

constexpr std::size_t kMostPieceBytes = 1024;  // the genuine vocabulary's longest has 93

struct Piece {
  std::string text;  // UTF-8; a space is U+2581
  float score = 0;   // BPE: minus the rank of the merge that makes it
  PieceKind kind = PieceKind::kNormal;
};

struct Vocabulary {
  std::vector<Piece> pieces;  // by id
  int bos_id = 0;
  int eos_id = 0;
  int unknown_id = 0;
};

// Reads the bytes of a tokenizer.model (the protocol buffer ModelProto) with a bounded reader of
// our own. Errors: kDataLoss (damaged), kUnsupported (no BPE, no byte fallback, a normalizer that
// changes text, a dummy prefix: what BpeTokenizer does not do, named).
Result<Vocabulary> read_sentencepiece_model(std::string_view bytes);

// Hex SHA-256 over ids, texts, scores and kinds in a fixed spelling, so that the same vocabulary is
// known again in another file format. STORED: the spelling never changes.
std::string vocabulary_sha256(const Vocabulary& vocabulary);

}  // namespace nestor::embed
