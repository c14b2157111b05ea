#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "embed/model_config.h"
#include "embed/prompt.h"
#include "embed/sentencepiece_tokenizer.h"
#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using testing::GoldenText;
using testing::TinyModelCopy;

constexpr TokenizerExpectation kTiny = {.vocabulary_size = 400, .bos_id = 2, .eos_id = 1};
constexpr TokenizerExpectation kGenuine = {.vocabulary_size = 262144, .bos_id = 2, .eos_id = 1};

std::unique_ptr<Tokenizer> tiny_tokenizer() {
  auto loaded =
      SentencepieceTokenizer::load(testing::fixture("tiny-model/tokenizer.model"), kTiny, true);
  REQUIRE_MESSAGE(loaded.ok(), loaded.status().to_string());
  return std::move(loaded).value();
}

// Of this process on a processor: a busy machine must not fail a test of quadratic time.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

TEST_CASE("golden ids come out exactly, but where a control token or U+2581 is spelled") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto config = read_model_config(folder);
  REQUIRE_MESSAGE(config.ok(), config.status().to_string());
  const auto tokenizer = SentencepieceTokenizer::load(folder + "/tokenizer.model", kGenuine, false);
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().to_string());
  for (const GoldenText& text : testing::read_golden()) {
    CAPTURE(text.name);
    for (const Role role : {Role::kQuery, Role::kDocument}) {
      const auto& expected = role == Role::kQuery ? text.query : text.document;
      const auto got = tokenizer.value()->tokenize(
          prompted_text(config.value().prompts, role, text.title, text.text), 2048);
      REQUIRE(got.ok());
      CHECK(got.value().ids.front() == 2);
      CHECK(got.value().ids.back() == 1);
      if (text.spelled_out()) {
        CHECK(got.value().ids != expected.ids);
        continue;
      }
      CHECK(got.value().ids == expected.ids);
      CHECK(got.value().token_count == expected.token_count);
      CHECK(got.value().truncated == expected.truncated);
    }
  }
}

TEST_CASE("control tokens spelled in a text are plain text (case 29)") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto tokenizer = SentencepieceTokenizer::load(folder + "/tokenizer.model", kGenuine, false);
  REQUIRE(tokenizer.ok());
  for (const char* text : {"<bos>", "<eos>", "<pad>", "a<eos>b<bos>"}) {
    const auto got = tokenizer.value()->tokenize(text, 2048);
    REQUIRE(got.ok());
    CHECK(got.value().ids.size() > 4);
    for (std::size_t i = 1; i + 1 < got.value().ids.size(); ++i) CHECK(got.value().ids[i] > 2);
  }
}

TEST_CASE("long texts tokenize in parts to the same ids as whole") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto tokenizer = SentencepieceTokenizer::load(folder + "/tokenizer.model", kGenuine, false);
  REQUIRE(tokenizer.ok());
  // Every golden text, again and again, with '>' and runs of spaces at the places where parts end:
  // each stretch between two newlines is also tokenized alone.
  std::vector<std::string> lines;
  std::string whole;
  for (int round = 0; round < 8; ++round) {
    for (const GoldenText& text : testing::read_golden()) {
      std::string line = text.text + "> </p>  <b> x";
      std::erase(line, '\n');
      whole += line + "\n";
      lines.push_back(std::move(line));
    }
  }
  CHECK(whole.size() > (1 << 18));
  std::vector<std::int32_t> joined = {2};
  for (const std::string& line : lines) {
    const auto part = tokenizer.value()->tokenize(line, 1 << 20);
    REQUIRE(part.ok());
    joined.insert(joined.end(), part.value().ids.begin() + 1, part.value().ids.end() - 1);
    joined.push_back(107);  // "\n"
  }
  joined.push_back(1);
  const auto got = tokenizer.value()->tokenize(whole, 1 << 22);
  REQUIRE(got.ok());
  CHECK(got.value().ids == joined);
  const auto count = tokenizer.value()->count(whole);
  REQUIRE(count.ok());
  CHECK(count.value() == static_cast<std::int64_t>(joined.size()) - 2);
}

TEST_CASE("a million marks on a letter and a word of 1 MiB take under 5 s (cases 27, 28)") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto tokenizer = SentencepieceTokenizer::load(folder + "/tokenizer.model", kGenuine, false);
  REQUIRE(tokenizer.ok());
  std::string marks = "e";
  for (int i = 0; i < 500'000; ++i) marks += "\xCC\x81";  // 1 MB: the byte cap stops at 1 MiB
  std::string word(1 << 20, 'a');
  std::uint32_t state = 1;
  for (char& letter : word) {
    state = state * 1664525 + 1013904223;
    letter = static_cast<char>('a' + (state >> 24) % 26);
  }
  for (const std::string* text : {&marks, &word}) {
    const double start = processor_seconds();
    const auto got = tokenizer.value()->tokenize(*text, 2048);
    CHECK(processor_seconds() - start < 5);
    REQUIRE(got.ok());
    CHECK(got.value().ids.size() == 2048);
    CHECK(got.value().truncated);
    CHECK(got.value().token_count > 400'000);
  }
}

TEST_CASE("a longer text keeps its first ids and ends in EOS, and says so (case 24)") {
  const std::unique_ptr<Tokenizer> tokenizer = tiny_tokenizer();
  const auto whole = tokenizer->tokenize("the keys of a sorted run are kept in blocks", 1000);
  REQUIRE(whole.ok());
  const auto count = static_cast<std::int64_t>(whole.value().ids.size());
  CHECK(whole.value().token_count == count);
  for (std::int64_t most = 2; most <= count + 1; ++most) {
    const auto cut = tokenizer->tokenize("the keys of a sorted run are kept in blocks", most);
    REQUIRE(cut.ok());
    const auto& ids = cut.value().ids;
    CHECK(static_cast<std::int64_t>(ids.size()) == std::min(most, count));
    CHECK(cut.value().truncated == (most < count));
    CHECK(cut.value().token_count == count);
    CHECK(ids.back() == 1);
    CHECK(std::equal(ids.begin(), ids.end() - 1, whole.value().ids.begin()));
  }
}

TEST_CASE("an empty text is BOS and EOS, and counts nothing") {
  const std::unique_ptr<Tokenizer> tokenizer = tiny_tokenizer();
  CHECK(tokenizer->tokenize("", 96).value().ids == std::vector<std::int32_t>{2, 1});
  CHECK(tokenizer->count("").value() == 0);
}

TEST_CASE("an unknown tokenizer is refused by its hash unless allowed (cases 18, 19)") {
  const auto refused =
      SentencepieceTokenizer::load(testing::fixture("tiny-model/tokenizer.model"), kTiny, false);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().code() == StatusCode::kUnsupported);
  CHECK(refused.status().message().find("allow-unverified-model") != std::string::npos);
  CHECK(refused.status().message().find(tiny_tokenizer()->sha256()) != std::string::npos);
  // A 400 kB piece and a wild charsmap need no parsing to be refused: their bytes are not the known
  // ones.
  const TinyModelCopy model;
  testing::write_bytes(model / "tokenizer.model", "\x0a\x84\x80\x18" + std::string(400'000, 'x'));
  CHECK_FALSE(SentencepieceTokenizer::load(model / "tokenizer.model", kTiny, false).ok());
}

TEST_CASE("bytes that are no tokenizer are refused even when allowed") {
  const TinyModelCopy model;
  for (const char* bytes : {"", "not a model", "\x0a\xff\xff\xff\xff\x0f"}) {
    testing::write_bytes(model / "tokenizer.model", bytes);
    const auto refused = SentencepieceTokenizer::load(model / "tokenizer.model", kTiny, true);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.status().code() == StatusCode::kDataLoss);
  }
}

TEST_CASE("a tokenizer of another vocabulary is refused with both sizes (case 20)") {
  const auto refused =
      SentencepieceTokenizer::load(testing::fixture("tiny-model/tokenizer.model"), kGenuine, true);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.status().message().find("400 pieces, config.json says 262144") !=
        std::string::npos);
  TokenizerExpectation other = kTiny;
  other.eos_id = 5;
  CHECK_FALSE(
      SentencepieceTokenizer::load(testing::fixture("tiny-model/tokenizer.model"), other, true)
          .ok());
}

}  // namespace
}  // namespace nestor::embed
