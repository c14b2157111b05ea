#include "embed/known_gguf.h"

#include <doctest/doctest.h>

#include "embed/fingerprint.h"
#include "embed/gguf_config.h"
#include "tests/embed/gguf_writer.h"

namespace nestor::embed {
namespace {

TEST_CASE("the genuine vocabulary is known again in what converters make of it") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto bytes = read_file(folder + "/tokenizer.model", 64 << 20);
  REQUIRE(bytes.ok());
  const auto genuine = read_sentencepiece_model(bytes.value());
  REQUIRE(genuine.ok());
  CHECK(vocabulary_sha256(genuine.value()) == known_vocabulary_sha256());
  Vocabulary converted = genuine.value();
  for (std::size_t id = 0; id < converted.pieces.size(); ++id) {
    Piece& piece = converted.pieces[id];
    if (piece.kind != PieceKind::kUserDefined) continue;
    piece.score = -1000;
    if (id % 3 == 0) piece.kind = PieceKind::kControl;
    for (std::size_t at; (at = piece.text.find("\xe2\x96\x81")) != std::string::npos;) {
      piece.text.replace(at, 3, " ");
    }
  }
  CHECK(vocabulary_sha256(converted) != known_vocabulary_sha256());
  CHECK(vocabulary_sha256(restore_vocabulary(converted)) == known_vocabulary_sha256());
  // One text that is another is another vocabulary.
  converted.pieces[1000].text += "x";
  CHECK(vocabulary_sha256(restore_vocabulary(converted)) != known_vocabulary_sha256());
}

TEST_CASE("the genuine model as an F32 GGUF is known by its tensors") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  auto opened = open_checkpoint({.path = folder, .companion_folder = {}});
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  const Checkpoint& genuine = *opened.value();
  CHECK(genuine.identity().name == "embeddinggemma-300m");
  CHECK(is_known_config(genuine.config()));
  CHECK(genuine.config().prompts.document == known_prompts().document);
  // The two Dense modules, 19 MB, stand for the rest: the rule is the same.
  std::string stored;
  StoredTensors tensors;
  const testing::TempFolder temporary;
  for (const ExpectedTensor& tensor : dense_tensors(genuine.config())) {
    StoredTensor& place = tensors[tensor.name];
    place.shape = tensor.shape;
    place.offset = stored.size();
    std::vector<float> values(static_cast<std::size_t>(tensor.shape[0] * tensor.shape[1]));
    REQUIRE(genuine.read(tensor.name, 0, values).ok());
    stored += testing::stored_as(NumberFormat::kF32, values);
  }
  testing::write_bytes(temporary / "dense", stored);
  auto file = RandomAccessFile::open(temporary / "dense");
  REQUIRE(file.ok());
  const auto shared = std::make_shared<const RandomAccessFile>(std::move(file).value());
  for (auto& [name, tensor] : tensors) tensor.file = shared;
  const auto sha256 = tensors_sha256(dense_tensors(genuine.config()), tensors);
  REQUIRE(sha256.ok());
  CHECK(are_known_dense_tensors(sha256.value()));
  CHECK_FALSE(are_known_transformer_tensors(sha256.value()));
  CHECK_FALSE(is_known_gguf(sha256.value()));
}

}  // namespace
}  // namespace nestor::embed
