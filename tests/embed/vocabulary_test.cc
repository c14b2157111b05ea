#include "embed/vocabulary.h"

#include <doctest/doctest.h>

#include "embed/fingerprint.h"
#include "tests/embed/sentencepiece_writer.h"
#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using testing::bare_vocabulary;
using testing::sentencepiece_model;
using testing::SentencepieceSpecs;

std::string tiny_bytes() {
  return testing::read_bytes(testing::fixture("tiny-model/tokenizer.model"));
}

TEST_CASE("the genuine tokenizer.model reads in full and is known by its vocabulary") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto read = read_sentencepiece_model(testing::read_bytes(folder + "/tokenizer.model"));
  REQUIRE_MESSAGE(read.ok(), read.status().to_string());
  const Vocabulary& vocabulary = read.value();
  REQUIRE(vocabulary.pieces.size() == 262144);
  CHECK(vocabulary.bos_id == 2);
  CHECK(vocabulary.eos_id == 1);
  CHECK(vocabulary.unknown_id == 3);
  CHECK(vocabulary.pieces[107].text == "\n");
  CHECK(vocabulary.pieces[107].kind == PieceKind::kUserDefined);
  CHECK(vocabulary.pieces[495].text == "in");
  CHECK(vocabulary.pieces[495].score == -1);
  CHECK(vocabulary.pieces[495].kind == PieceKind::kNormal);
  CHECK(vocabulary_sha256(vocabulary) == known_vocabulary_sha256());
}

TEST_CASE("a vocabulary comes back as it was written, and unknown fields are passed over") {
  Vocabulary written = bare_vocabulary();
  written.pieces.push_back({"\xE2\x96\x81the", -0.0F, PieceKind::kNormal});
  written.pieces.push_back({"\n\n", -7.5F, PieceKind::kUserDefined});
  written.pieces.push_back({"gone", -8, PieceKind::kUnused});
  ByteWriter more;
  testing::put_number(more, 99, 5);
  testing::put_bytes(more, 4, "self test");
  more.varint(77 << 3 | 1);
  more.u64(1);
  const auto read = read_sentencepiece_model(sentencepiece_model(written) + more.bytes());
  REQUIRE_MESSAGE(read.ok(), read.status().to_string());
  REQUIRE(read.value().pieces.size() == written.pieces.size());
  for (std::size_t id = 0; id < written.pieces.size(); ++id) {
    CHECK(read.value().pieces[id].text == written.pieces[id].text);
    CHECK(read.value().pieces[id].score == written.pieces[id].score);
    CHECK(read.value().pieces[id].kind == written.pieces[id].kind);
  }
  CHECK(vocabulary_sha256(read.value()) == vocabulary_sha256(written));
}

TEST_CASE("the hash of a vocabulary tells every part of it, but not the two zeros") {
  const Vocabulary vocabulary = read_sentencepiece_model(tiny_bytes()).value();
  const std::string hash = vocabulary_sha256(vocabulary);
  // STORED: the spelling never changes.
  CHECK(hash == "07bc6328637050d7ba5dbec25856d3239b605ed54924fd658e7f96e9c45245e6");
  const auto changed = [&](const auto& edit) {
    Vocabulary copy = vocabulary;
    edit(copy);
    return vocabulary_sha256(copy);
  };
  CHECK(changed([](Vocabulary& v) { v.pieces[300].text += "x"; }) != hash);
  CHECK(changed([](Vocabulary& v) { v.pieces[300].score -= 1; }) != hash);
  CHECK(changed([](Vocabulary& v) { v.pieces[300].kind = PieceKind::kUnused; }) != hash);
  CHECK(changed([](Vocabulary& v) { std::swap(v.pieces[300], v.pieces[301]); }) != hash);
  CHECK(changed([](Vocabulary& v) { v.pieces.pop_back(); }) != hash);
  CHECK(changed([](Vocabulary& v) { v.bos_id = 0; }) != hash);
  CHECK(changed([](Vocabulary& v) { v.pieces[0].score = -0.0F; }) == hash);
}

TEST_CASE("what changes text before the pieces are looked up is refused by name") {
  const Vocabulary vocabulary = bare_vocabulary();
  REQUIRE(read_sentencepiece_model(sentencepiece_model(vocabulary)).ok());
  const auto refusal = [&](const SentencepieceSpecs& specs) {
    const auto read = read_sentencepiece_model(sentencepiece_model(vocabulary, specs));
    REQUIRE_FALSE(read.ok());
    CHECK(read.status().code() == StatusCode::kUnsupported);
    return read.status().message();
  };
  const auto names = [](const std::string& message, const char* what) {
    return message.find(what) != std::string::npos;
  };
  CHECK(names(refusal({.model_type = 1}), "model type is 1"));
  CHECK(names(refusal({.byte_fallback = false}), "byte fallback"));
  CHECK(names(refusal({.charsmap = "x"}), "identity"));
  CHECK(names(refusal({.add_dummy_prefix = true}), "before every text"));
  CHECK(names(refusal({.remove_extra_whitespaces = true}), "drops spaces"));
  CHECK(names(refusal({.escape_whitespaces = false}), "U+2581"));
}

TEST_CASE("pieces that are no text are refused, and so is a model without its special pieces") {
  const auto code_of = [](const Vocabulary& vocabulary) {
    return read_sentencepiece_model(sentencepiece_model(vocabulary)).status().code();
  };
  const auto with = [&](const Piece& piece) {
    Vocabulary vocabulary = bare_vocabulary();
    vocabulary.pieces.push_back(piece);
    return code_of(vocabulary);
  };
  CHECK(with({"fine", -1}) == StatusCode::kOk);
  CHECK(with({"", -1}) == StatusCode::kDataLoss);
  CHECK(with({"\xFF", -1}) == StatusCode::kDataLoss);
  CHECK(with({std::string(400'000, 'x'), -1}) == StatusCode::kDataLoss);
  CHECK(with({"a", std::numeric_limits<float>::quiet_NaN()}) == StatusCode::kDataLoss);
  CHECK(with({"a", -1, static_cast<PieceKind>(7)}) == StatusCode::kDataLoss);
  Vocabulary vocabulary = bare_vocabulary();
  vocabulary.pieces[2].kind = PieceKind::kNormal;
  CHECK(code_of(vocabulary) == StatusCode::kDataLoss);
  vocabulary = bare_vocabulary();
  vocabulary.pieces[3].kind = PieceKind::kNormal;
  CHECK(code_of(vocabulary) == StatusCode::kDataLoss);
}

TEST_CASE("bytes that are no tokenizer are refused") {
  for (const std::string_view bytes :
       {std::string_view(), std::string_view("not a model"),
        std::string_view("\x0a\xff\xff\xff\xff\x0f"), std::string_view("\x0a\x02"),
        std::string_view("\x0b"), std::string_view("\x00\x00", 2), std::string_view("\x08\x01"),
        std::string_view("\x0a\x02\x08\x01")}) {
    const auto read = read_sentencepiece_model(bytes);
    REQUIRE_FALSE(read.ok());
    CHECK(read.status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("a tokenizer.model cut anywhere or with any bit turned is refused or harmless") {
  const std::string good = tiny_bytes();
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
    // In a buffer of its own, so that a sanitizer sees a byte read past its end.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
    CHECK_FALSE(read_sentencepiece_model({cut.data(), cut.size()}).ok());
  }
  std::size_t refused = 0;
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::vector<char> damaged(good.begin(), good.end());
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at % 8)));
    const auto read = read_sentencepiece_model({damaged.data(), damaged.size()});
    refused += read.ok() ? 0 : 1;
  }
  CHECK(refused > good.size() / 8);
}

}  // namespace
}  // namespace nestor::embed
