// HashEncoder: a TextEncoder without a model. A word is a fixed random direction, a text the sum of
// its words, so texts that share words are near each other; fast enough for thousands of documents
// a second. Threads: safe anywhere; the counters are atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "query/text_encoder.h"

namespace nestor::testing {

class HashEncoder : public query::TextEncoder {
 public:
  explicit HashEncoder(std::string space = "hash-space", int width = 768,
                       int context_tokens = 2048);

  Result<std::vector<Embedding>> encode(std::span<const EmbedInput> inputs, Role role,
                                        const EmbedOptions& options) const override;
  Result<int> count_tokens(std::string_view text) const override;
  [[nodiscard]] const ModelInfo& info() const override { return info_; }

  // Texts embedded so far.
  [[nodiscard]] std::int64_t encoded_count() const { return encoded_count_; }
  // Called before each batch; for tests that need to interfere.
  std::function<void()> before_encode = {};

 private:
  ModelInfo info_;
  mutable std::atomic<std::int64_t> encoded_count_{0};
};

// Always hands out the same encoder.
query::EncoderFactory factory_of(std::shared_ptr<HashEncoder> encoder);

}  // namespace nestor::testing
