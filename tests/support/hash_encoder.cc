#include "tests/support/hash_encoder.h"

#include <utility>

#include "core/hash.h"
#include "core/vector_math.h"

namespace nestor::testing {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  while ((begin = text.find_first_not_of(" \t\r\n", begin)) != text.npos) {
    const std::size_t end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

void add_word(std::string_view word, float weight, std::span<float> sum) {
  std::uint64_t state = hash64(word) | 1;
  for (float& component : sum) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    component += weight * (static_cast<float>(state >> 40) / static_cast<float>(1 << 24) - 0.5f);
  }
}

}  // namespace

HashEncoder::HashEncoder(std::string space, int width, int context_tokens) {
  info_.name = "hash-model-of-" + space;
  info_.space = std::move(space);
  info_.precision = "f32";
  info_.backend = "hash";
  info_.width = width;
  info_.context_tokens = context_tokens;
  info_.thread_count = 1;
}

Result<std::vector<Embedding>> HashEncoder::encode(std::span<const EmbedInput> inputs, Role role,
                                                   const EmbedOptions& options) const {
  if (before_encode) before_encode();
  std::vector<Embedding> embeddings;
  for (const EmbedInput& input : inputs) {
    if (options.stop.stop_requested()) return Status(StatusCode::kCancelled, "stopped");
    Embedding embedding{.vector = std::vector<float>(static_cast<std::size_t>(info_.width)),
                        .token_count = 2};
    add_word(role_name(role), 0.05f, embedding.vector);
    for (const std::string_view word : words_of(input.title))
      add_word(word, 0.2f, embedding.vector);
    for (const std::string_view word : words_of(input.text)) {
      if (++embedding.token_count > info_.context_tokens) {
        embedding.truncated = true;
        continue;
      }
      add_word(word, 1.0f, embedding.vector);
    }
    normalize(embedding.vector);
    embeddings.push_back(std::move(embedding));
    ++encoded_count_;
  }
  return embeddings;
}

Result<int> HashEncoder::count_tokens(std::string_view text) const {
  return static_cast<int>(words_of(text).size());
}

query::EncoderFactory factory_of(std::shared_ptr<HashEncoder> encoder) {
  return [encoder]() -> Result<query::EncoderPointer> { return query::EncoderPointer(encoder); };
}

}  // namespace nestor::testing
