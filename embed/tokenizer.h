// Tokenizer: text to ids by sentencepiece, which stays behind this wall.
//
// sentencepiece is not safe on model files made to harm (a 400 kB piece crashes 0.1.97), so a file
// is handed to it only if its SHA-256 is in the table of fingerprint.h or the person allows it.
// Threads: a Tokenizer is constant after load; any number of threads may call it.
#pragma once

#include <cstdint>
#include <memory>
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
  // Errors: kNotFound, kInvalidArgument (no regular file, over 64 MiB), kUnsupported (an unknown
  // SHA-256 without `allow_unverified`), kDataLoss (sentencepiece refuses it, or it is not the
  // expected one).
  static Result<Tokenizer> load(const std::string& path, const TokenizerExpectation& expected,
                                bool allow_unverified);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // REQUIRES: well-formed UTF-8; most_tokens >= 2. A longer text keeps its first most_tokens - 1
  // ids (BOS among them), then EOS. Control tokens spelled in the text are plain text: no text can
  // inject one. Errors: kInternal (sentencepiece failed).
  // Cost: about 1 s a MiB of text without a space, 3 s a MiB at worst; memory in proportion.
  Result<TokenizedText> tokenize(std::string_view text, std::int64_t most_tokens) const;

  // Tokens of the text alone, no BOS, no EOS. Exact, but for texts with more than 1 MiB without a
  // space or newline: those are counted in parts of 1 MiB, and each cut may add a token or two.
  Result<std::int64_t> count(std::string_view text) const;

  // Hex SHA-256 of the file.
  [[nodiscard]] const std::string& sha256() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor::embed
