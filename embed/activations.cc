#include "embed/activations.h"

#include <algorithm>

namespace nestor::embed {
namespace {

template <typename T>
void grow(std::vector<T>& buffer, std::int64_t count) {
  if (static_cast<std::int64_t>(buffer.size()) < count) {
    buffer.resize(static_cast<std::size_t>(count));
  }
}

}  // namespace

void Activations::reserve(const ModelConfig& config, std::int64_t tokens, std::int64_t texts,
                          int team_size) {
  const std::int64_t all_heads = config.head_count + 2 * config.key_head_count;
  grow(stream, tokens * config.hidden_size);
  grow(normed, tokens * config.hidden_size);
  grow(query_key_value, tokens * all_heads * config.head_width);
  grow(attended, tokens * config.head_count * config.head_width);
  grow(branch, tokens * config.hidden_size);
  grow(gate_up, std::min(tokens, kFeedForwardBlock) * 2 * config.feed_forward_size);
  grow(gated, std::min(tokens, kFeedForwardBlock) * config.feed_forward_size);
  std::int64_t widest = config.hidden_size;
  for (const DenseConfig& dense : config.dense) widest = std::max(widest, dense.out_features);
  grow(pooled, texts * widest);
  grow(projected, texts * widest);
  grow(positions, tokens);
  grow(attention, team_size);
  for (AttentionScratch& scratch : attention) {
    grow(scratch.scores, kQueryBlock * std::min(tokens, config.context_tokens));
    grow(scratch.ranges, kQueryBlock);
  }
}

}  // namespace nestor::embed
