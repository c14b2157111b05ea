#include "embed/vocabulary.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "core/bytes.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::embed {
namespace {

// Source of the numbers: sentencepiece_model.proto of sentencepiece 0.1.97.
constexpr std::uint64_t kModelTypeBpe = 2;
constexpr std::uint64_t kMostPieces = 1U << 20;

Status damaged(const std::string& what) {
  return {StatusCode::kDataLoss,
          "tokenizer.model is damaged: " + what + ". Get the model's files again."};
}

Status unsupported(const std::string& what) {
  return {StatusCode::kUnsupported,
          "tokenizer.model: " + what + ". Nestor reads the tokenizer of EmbeddingGemma."};
}

struct ProtoField {
  enum class Wire : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  std::uint64_t number = 0;
  Wire wire = Wire::kVarint;
  std::uint64_t value = 0;  // of the numeric wire types
  std::string_view bytes;   // of kBytes
};

// The fields of one protocol buffer message, in their order.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view message) : bytes_(message) {}

  // False at the end and at the first damaged field; ok() tells which.
  bool next(ProtoField& field) {
    if (bytes_.rest().empty()) return false;
    std::uint64_t key = 0;
    ok_ = bytes_.varint(key) && read_value(static_cast<unsigned>(key & 7), field);
    field.number = key >> 3;
    ok_ = ok_ && field.number != 0;
    return ok_;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  bool read_value(unsigned wire, ProtoField& field) {
    field.wire = static_cast<ProtoField::Wire>(wire);
    std::uint32_t small = 0;
    switch (field.wire) {
      case ProtoField::Wire::kVarint:
        return bytes_.varint(field.value);
      case ProtoField::Wire::kFixed64:
        return bytes_.u64(field.value);
      case ProtoField::Wire::kBytes:
        return bytes_.string(field.bytes);
      case ProtoField::Wire::kFixed32:
        if (!bytes_.u32(small)) return false;
        field.value = small;
        return true;
    }
    return false;  // the groups of old are in no known model
  }

  ByteReader bytes_;
  bool ok_ = true;
};

using Wire = ProtoField::Wire;

// What a field of the three messages must look like; anything else under a known number is damage.
bool is(const ProtoField& field, std::uint64_t number, Wire wire) {
  return field.number == number && field.wire == wire;
}

Status read_piece(std::string_view message, std::size_t id, Piece& piece) {
  ProtoReader reader(message);
  ProtoField field;
  std::uint64_t kind = static_cast<std::uint64_t>(PieceKind::kNormal);
  while (reader.next(field)) {
    if (is(field, 1, Wire::kBytes)) {
      piece.text = field.bytes;
    } else if (is(field, 2, Wire::kFixed32)) {
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    } else if (is(field, 3, Wire::kVarint)) {
      kind = field.value;
    } else if (field.number <= 3) {
      return damaged(fmt::format("piece {} has a field {} of another type", id, field.number));
    }
  }
  if (!reader.ok()) return damaged(fmt::format("piece {} is cut short", id));
  if (piece.text.empty() || piece.text.size() > kMostPieceBytes) {
    return damaged(fmt::format("piece {} has {} bytes, expected 1 to {}", id, piece.text.size(),
                               kMostPieceBytes));
  }
  if (find_invalid_utf8(piece.text).has_value()) {
    return damaged(fmt::format("piece {} is not UTF-8", id));
  }
  if (!std::isfinite(piece.score)) return damaged(fmt::format("piece {} has no finite score", id));
  if (kind < static_cast<std::uint64_t>(PieceKind::kNormal) ||
      kind > static_cast<std::uint64_t>(PieceKind::kByte)) {
    return damaged(fmt::format("piece {} is of the kind {}, expected 1 to 6", id, kind));
  }
  piece.kind = static_cast<PieceKind>(kind);
  return {};
}

// TrainerSpec with sentencepiece's defaults.
struct TrainerSpec {
  std::uint64_t model_type = 1;
  bool byte_fallback = false;
  std::string bos_piece = "<s>";
  std::string eos_piece = "</s>";
};

Status read_trainer(std::string_view message, TrainerSpec& trainer) {
  ProtoReader reader(message);
  ProtoField field;
  while (reader.next(field)) {
    if (is(field, 3, Wire::kVarint)) trainer.model_type = field.value;
    if (is(field, 35, Wire::kVarint)) trainer.byte_fallback = field.value != 0;
    // sentencepiece finds BOS and EOS by these texts; bos_id and eos_id (41, 42) are the trainer's.
    if (is(field, 46, Wire::kBytes)) trainer.bos_piece = field.bytes;
    if (is(field, 47, Wire::kBytes)) trainer.eos_piece = field.bytes;
  }
  return reader.ok() ? Status() : damaged("its trainer_spec is cut short");
}

// NormalizerSpec with sentencepiece's defaults.
struct NormalizerSpec {
  std::string name;
  std::size_t charsmap_bytes = 0;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

Status read_normalizer(std::string_view message, NormalizerSpec& normalizer) {
  ProtoReader reader(message);
  ProtoField field;
  while (reader.next(field)) {
    if (is(field, 1, Wire::kBytes)) normalizer.name = field.bytes;
    if (is(field, 2, Wire::kBytes)) normalizer.charsmap_bytes = field.bytes.size();
    if (is(field, 3, Wire::kVarint)) normalizer.add_dummy_prefix = field.value != 0;
    if (is(field, 4, Wire::kVarint)) normalizer.remove_extra_whitespaces = field.value != 0;
    if (is(field, 5, Wire::kVarint)) normalizer.escape_whitespaces = field.value != 0;
  }
  return reader.ok() ? Status() : damaged("its normalizer_spec is cut short");
}

Status check_specs(const TrainerSpec& trainer, const NormalizerSpec& normalizer) {
  if (trainer.model_type != kModelTypeBpe) {
    return unsupported(
        fmt::format("the model type is {}, expected {} (BPE)", trainer.model_type, kModelTypeBpe));
  }
  if (!trainer.byte_fallback) return unsupported("it has no byte fallback");
  if (normalizer.charsmap_bytes != 0) {
    return unsupported(fmt::format("its normalizer {} changes text, expected \"identity\"",
                                   quote_for_message(normalizer.name)));
  }
  if (normalizer.add_dummy_prefix) return unsupported("it puts a space before every text");
  if (normalizer.remove_extra_whitespaces) return unsupported("it drops spaces");
  if (!normalizer.escape_whitespaces) return unsupported("it does not spell a space as U+2581");
  return {};
}

// The one control piece of this text.
Result<int> find_control(const Vocabulary& vocabulary, const std::string& text) {
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const Piece& piece = vocabulary.pieces[id];
    if (piece.kind == PieceKind::kControl && piece.text == text) return static_cast<int>(id);
  }
  return damaged("the control piece " + quote_for_message(text) + " is missing");
}

Result<int> find_unknown(const Vocabulary& vocabulary) {
  for (std::size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    if (vocabulary.pieces[id].kind == PieceKind::kUnknown) return static_cast<int>(id);
  }
  return damaged("it has no unknown piece");
}

}  // namespace

Result<Vocabulary> read_sentencepiece_model(std::string_view bytes) {
  Vocabulary vocabulary;
  TrainerSpec trainer;
  NormalizerSpec normalizer;
  ProtoReader reader(bytes);
  ProtoField field;
  while (reader.next(field)) {
    if (is(field, 1, Wire::kBytes)) {
      const std::size_t id = vocabulary.pieces.size();
      if (id >= kMostPieces) return unsupported(fmt::format("over {} pieces", kMostPieces));
      NESTOR_RETURN_IF_ERROR(read_piece(field.bytes, id, vocabulary.pieces.emplace_back()));
    } else if (is(field, 2, Wire::kBytes)) {
      NESTOR_RETURN_IF_ERROR(read_trainer(field.bytes, trainer));
    } else if (is(field, 3, Wire::kBytes)) {
      NESTOR_RETURN_IF_ERROR(read_normalizer(field.bytes, normalizer));
    } else if (field.number <= 3) {
      return damaged(fmt::format("its field {} is of another type", field.number));
    }
  }
  if (!reader.ok()) {
    return damaged(fmt::format("it is cut short or garbled after {} pieces in {} bytes",
                               vocabulary.pieces.size(), bytes.size()));
  }
  if (vocabulary.pieces.empty()) return damaged("it has no pieces");
  NESTOR_RETURN_IF_ERROR(check_specs(trainer, normalizer));
  NESTOR_ASSIGN_OR_RETURN(vocabulary.bos_id, find_control(vocabulary, trainer.bos_piece));
  NESTOR_ASSIGN_OR_RETURN(vocabulary.eos_id, find_control(vocabulary, trainer.eos_piece));
  NESTOR_ASSIGN_OR_RETURN(vocabulary.unknown_id, find_unknown(vocabulary));
  return vocabulary;
}

std::string vocabulary_sha256(const Vocabulary& vocabulary) {
  Sha256 sha256;
  sha256.update("nestor vocabulary 1\n");
  ByteWriter head;
  head.u32(static_cast<std::uint32_t>(vocabulary.pieces.size()));
  head.u32(static_cast<std::uint32_t>(vocabulary.bos_id));
  head.u32(static_cast<std::uint32_t>(vocabulary.eos_id));
  head.u32(static_cast<std::uint32_t>(vocabulary.unknown_id));
  sha256.update(head.bytes());
  for (const Piece& piece : vocabulary.pieces) {
    ByteWriter line;
    line.u32(static_cast<std::uint32_t>(piece.text.size()));
    line.raw(piece.text);
    // + 0: the two zeros are one score.
    line.u32(std::bit_cast<std::uint32_t>(piece.score + 0.0F));
    line.u8(static_cast<std::uint8_t>(piece.kind));
    sha256.update(line.bytes());
  }
  return sha256.hex();
}

}  // namespace nestor::embed
