// Any bytes as a text to be tokenized: they need not be UTF-8, and one run of them may be long.
#include <string>

#include "core/file.h"
#include "embed/bpe_tokenizer.h"
#include "embed/vocabulary.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_targets.h"

namespace nestor::fuzz {
namespace {

// Of the tiny model, which is part of the repository.
const embed::BpeTokenizer& tokenizer() {
  static const std::string table = [] {
    const auto bytes = read_file(NESTOR_FUZZ_TOKENIZER, std::uint64_t{16} << 20);
    require(bytes.ok(), "the tiny model's tokenizer is there");
    const auto vocabulary = embed::read_sentencepiece_model(bytes.value());
    require(vocabulary.ok(), "the tiny model's tokenizer can be read");
    auto made = embed::build_tokenizer_table(vocabulary.value());
    require(made.ok(), "the tiny model's tokenizer has a table");
    return std::move(made).value();
  }();
  static const auto made = embed::BpeTokenizer::open(table, "tiny");
  require(made.ok(), "the table opens");
  return *made.value();
}

void tokenize(std::string_view input, std::int64_t most_tokens) {
  const auto made = tokenizer().tokenize(input, most_tokens);
  const auto count = tokenizer().count(input);
  require(made.ok() == count.ok(), "what is tokenized is counted");
  if (!made.ok()) return;
  const embed::TokenizedText& text = made.value();
  require(std::ssize(text.ids) <= most_tokens, "no more tokens than were asked for");
  require(text.ids.size() >= 2 && text.ids.front() == tokenizer().bos_id() &&
              text.ids.back() == tokenizer().eos_id(),
          "BOS and EOS stand at the ends");
  require(text.truncated == (text.token_count > most_tokens), "a cut is told");
  require(text.token_count == count.value() + 2, "the count is that of the tokens");
  for (std::size_t i = 1; i + 1 < text.ids.size(); ++i) {
    const std::int32_t id = text.ids[i];
    require(id >= 0 && id < tokenizer().vocabulary_size(), "an id lies in the vocabulary");
    require(id != tokenizer().bos_id() && id != tokenizer().eos_id(), "no text makes BOS or EOS");
  }
}

}  // namespace

int text(const std::uint8_t* data, std::size_t bytes) {
  const std::string_view input = text_of(data, bytes);
  tokenize(input, 2048);
  tokenize(input, 2 + (input.empty() ? 0 : data[0] % 16));
  // Now and then the same as one long run, as far as counts stay exact.
  constexpr std::size_t kLong = 24 << 10;
  if (input.empty() || input.size() > 64 || data[0] % 64 != 0) return 0;
  std::string run;
  while (run.size() < kLong) run += input;
  tokenize(run, 2048);
  return 0;
}

}  // namespace nestor::fuzz
