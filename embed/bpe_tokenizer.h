// BpeTokenizer: text to ids over a table that lies in a mapped file (bpe_table.h), with exactly the
// ids that sentencepiece gives, in a tenth of its time and without its 65 MB.
//
// Threads: constant after open; any number of threads may call it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "embed/bpe_table.h"
#include "embed/bpe_table_builder.h"
#include "embed/tokenizer.h"

namespace nestor::embed {

class BpeTokenizer : public Tokenizer {
 public:
  // A text without any place to cut is cut after so many bytes all the same: 12 MB of scratch, and
  // further in than 2,048 tokens of the genuine vocabulary's longest piece (93 bytes) reach.
  static constexpr std::size_t kMostChunkBytes = 256 << 10;

  // `table` must outlive it; `tokenizer_sha256` is what sha256() says. A damaged table may give
  // wrong ids, never one outside the vocabulary. Errors: those of BpeTable::open. Cost: 0.01 ms.
  static Result<std::unique_ptr<BpeTokenizer>> open(std::span<const char> table,
                                                    std::string tokenizer_sha256);

  // Ill-formed bytes are read as U+FFFD each, as sentencepiece does. Cost: about 20 MB/s of prose;
  // O(n log n) for a word of n characters.
  [[nodiscard]] Result<TokenizedText> tokenize(std::string_view text,
                                               std::int64_t most_tokens) const override;
  [[nodiscard]] Result<std::int64_t> count(std::string_view text) const override;
  [[nodiscard]] const std::string& sha256() const override { return sha256_; }

  [[nodiscard]] std::int64_t vocabulary_size() const { return table_.counts().pieces; }
  [[nodiscard]] int bos_id() const { return static_cast<int>(table_.counts().bos_id); }
  [[nodiscard]] int eos_id() const { return static_cast<int>(table_.counts().eos_id); }

 private:
  BpeTokenizer(const BpeTable& table, std::string sha256)
      : table_(table), sha256_(std::move(sha256)) {}

  BpeTable table_;
  std::string sha256_;
};

}  // namespace nestor::embed
