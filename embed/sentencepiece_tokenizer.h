// SentencepieceTokenizer: text to ids by sentencepiece, which stays behind this wall.
//
// sentencepiece is not safe on model files made to harm (a 400 kB piece crashes 0.1.97), so a file
// is handed to it only if its SHA-256 is in the table of fingerprint.h or the person allows it.
// Threads: constant after load; any number of threads may call it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "embed/tokenizer.h"

namespace nestor::embed {

class SentencepieceTokenizer : public Tokenizer {
 public:
  // Errors: kNotFound, kInvalidArgument (no regular file, over 64 MiB), kUnsupported (an unknown
  // SHA-256 without `allow_unverified`), kDataLoss (sentencepiece refuses it, or it is not the
  // expected one). Cost: 0.1 s and 65 MB for 262,144 pieces.
  static Result<std::unique_ptr<Tokenizer>> load(const std::string& path,
                                                 const TokenizerExpectation& expected,
                                                 bool allow_unverified);
  ~SentencepieceTokenizer() override;

  // Cost: about 1 s a MiB of text without a space, 3 s a MiB at worst.
  [[nodiscard]] Result<TokenizedText> tokenize(std::string_view text,
                                               std::int64_t most_tokens) const override;
  [[nodiscard]] Result<std::int64_t> count(std::string_view text) const override;
  [[nodiscard]] const std::string& sha256() const override;

 private:
  struct Impl;
  explicit SentencepieceTokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace nestor::embed
