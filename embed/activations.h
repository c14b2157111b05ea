// Activations: the scratch of one forward pass, grown to the largest batch seen and then kept, so
// that a warm pass allocates nothing. Threads: one pass at a time; inside it the members of its
// Team, each in its own part.
#pragma once

#include <cstdint>
#include <vector>

#include "embed/backend.h"
#include "embed/encoder.h"
#include "embed/model_config.h"

namespace nestor::embed {

// Queries whose scores are computed at once.
inline constexpr std::int64_t kQueryBlock = 128;
// Tokens that go through the feed-forward part at once: bounds its wide rows for long texts. Tokens
// a processor second at 128 / 256 / 512: 437 / 491 / 515 (medquad, 40 passages, medians of 2 to 3
// runs on a busy machine, 2026-11-22).
inline constexpr std::int64_t kFeedForwardBlock = 512;

struct AttentionScratch {
  std::vector<float> scores;     // (kQueryBlock, keys)
  std::vector<KeyRange> ranges;  // (kQueryBlock)
};

// A stretch of a text whose attention is one piece of work.
struct QueryBlock {
  std::int64_t text_begin = 0;  // token row of the text's first token
  std::int64_t text_end = 0;
  std::int64_t begin = 0;  // token rows of the queries
  std::int64_t end = 0;
};

struct Activations : Workspace {
  std::vector<float> stream;            // (tokens, hidden): the residual stream
  std::vector<float> normed;            // (tokens, hidden)
  std::vector<float> query_key_value;   // (tokens, (heads + 2 * key_heads) * head_width)
  std::vector<float> attended;          // (tokens, heads * head_width)
  std::vector<float> branch;            // (tokens, hidden)
  std::vector<float> gate_up;           // (kFeedForwardBlock, 2 * feed_forward)
  std::vector<float> gated;             // (kFeedForwardBlock, feed_forward)
  std::vector<float> pooled;            // (texts, widest of hidden and the Dense widths)
  std::vector<float> projected;         // the same; the Dense modules go to and fro
  std::vector<std::int32_t> positions;  // (tokens): in its text
  std::vector<QueryBlock> blocks;
  std::vector<AttentionScratch> attention;  // one a member of the team

  void reserve(const ModelConfig& config, std::int64_t tokens, std::int64_t texts, int team_size);
};

}  // namespace nestor::embed
