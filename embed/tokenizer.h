// Tokenizer: text to ids. BpeTokenizer (bpe_tokenizer.h) works over a table in a mapped file,
// SentencepieceTokenizer (sentencepiece_tokenizer.h) is the library it is compared with.
//
// Threads: a Tokenizer is constant; any number of threads may call it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestor/status.h"

namespace nestor::embed {

struct TokenizedText {
  std::vector<std::int32_t> ids;  // BOS, text, EOS; at most the context's length
  int token_count = 0;            // of the whole text, BOS and EOS counted, before any cut
  bool truncated = false;
};

// What the model's configuration says the tokenizer must be.
struct TokenizerExpectation {
  std::int64_t vocabulary_size = 0;
  int bos_id = 0;
  int eos_id = 0;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // REQUIRES: well-formed UTF-8; most_tokens >= 2. A longer text keeps its first most_tokens - 1
  // ids (BOS among them), then EOS. Control tokens spelled in the text are plain text: no text can
  // inject one. Errors: kInternal (a library failed).
  // Cost: memory in proportion to the longest stretch without a place to cut, see count.
  [[nodiscard]] virtual Result<TokenizedText> tokenize(std::string_view text,
                                                       std::int64_t most_tokens) const = 0;

  // Tokens of the text alone, no BOS, no EOS. Exact, but for texts with more than 256 KiB without a
  // place to cut (next to a space or newline there is nearly always one): those are counted in
  // parts of 256 KiB or more, and each cut may add a token or two.
  [[nodiscard]] virtual Result<std::int64_t> count(std::string_view text) const = 0;

  // Hex SHA-256 of tokenizer.model.
  [[nodiscard]] virtual const std::string& sha256() const = 0;
};

}  // namespace nestor::embed
