#include "embed/tiled_workspace.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace nestor::embed {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kStepTokens = 32;
// Where a step is too much for one member while others wait.
constexpr std::int64_t kHalfStepTokens = 16;

}  // namespace

template <typename T>
void AlignedBuffer<T>::reserve(std::int64_t count) {
  if (count <= count_) return;
  memory_.reset();
  count_ = 0;
  const auto bytes =
      static_cast<std::size_t>(round_up(count * static_cast<std::int64_t>(sizeof(T)), kAlignment));
  memory_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(static_cast<void*>(memory_.get()), 0, bytes);
  count_ = count;
}

template class AlignedBuffer<float>;
template class AlignedBuffer<std::uint8_t>;
template class AlignedBuffer<std::uint16_t>;

void TiledWorkspace::plan(const ModelConfig& config, const TiledLayout& layout,
                          std::span<const std::span<const std::int32_t>> batch, int team_size) {
  const std::int64_t head_steps = config.head_width / 32;
  std::int64_t all_steps = 0;
  for (const auto& ids : batch) {
    all_steps += round_up(static_cast<std::int64_t>(ids.size()), kStepTokens) / kStepTokens;
  }
  const std::int64_t block_tokens =
      team_size > 1 && all_steps < 2 * team_size ? kHalfStepTokens : kStepTokens;
  const std::int64_t query_rows = round_up(block_tokens * config.head_count, kRowBlock);
  const std::int64_t block_queries = query_rows * head_steps * kStepBytes;
  blocks.clear();
  texts.clear();
  std::int64_t tokens = 0;
  std::int64_t key_bytes = 0;
  std::int64_t query_bytes = 0;
  std::int64_t most_key_bytes = 0;
  std::int64_t most_query_bytes = 0;
  for (const std::span<const std::int32_t> ids : batch) {
    const auto count = static_cast<std::int64_t>(ids.size());
    const auto text = static_cast<std::int64_t>(texts.size());
    const std::int64_t steps = round_up(count, kStepTokens) / kStepTokens;
    texts.push_back({.begin = tokens, .tokens = count, .keys = key_bytes, .key_steps = steps});
    for (std::int64_t at = 0; at < count; at += block_tokens) {
      blocks.push_back({.text = text,
                        .begin = tokens + at,
                        .count = std::min(block_tokens, count - at),
                        .position = at,
                        .queries = query_bytes});
      query_bytes += block_queries;
    }
    tokens += count;
    key_bytes += steps * head_steps * kPanelStepBytes;
    most_key_bytes = std::max(most_key_bytes, key_bytes);
    most_query_bytes = std::max(most_query_bytes, query_bytes);
    if (team_size == 1) key_bytes = query_bytes = 0;  // one text after the other
  }
  std::int64_t most_steps = 0;
  for (const TextPlace& text : texts) most_steps = std::max(most_steps, text.key_steps);
  const std::int64_t padded = round_up(2 * tokens, kRowBlock);  // fine inputs have two rows each
  const std::int64_t most_input_steps =
      std::max({layout.joint.steps, layout.attention_output.steps, layout.down.steps});
  stream.reserve(tokens * config.hidden_size);
  const std::int64_t pairs = strip_values(HalfOrder::kPairs, tokens);
  branch.reserve(pairs *
                 std::max(layout.down.panel_count, layout.attention_output.inner / kPanelColumns));
  wide.reserve(std::max(layout.joint.panel_count * pairs,
                        layout.gate_up.panel_count * strip_values(HalfOrder::kPlain, tokens)));
  inputs.reserve(padded * most_input_steps * kStepBytes);
  input_scales.reserve(padded);
  queries.reserve(most_query_bytes);
  keys.reserve(most_key_bytes);
  values.reserve(most_key_bytes);
  pooled.reserve(static_cast<std::int64_t>(batch.size()) * config.hidden_size);
  rows.reserve(static_cast<std::int64_t>(batch.size()) * config.output_width());
  members.resize(std::max(members.size(), static_cast<std::size_t>(team_size)));
  for (MemberScratch& member : members) {
    member.scores.reserve(query_rows * most_steps * kPanelColumns);
    member.weights.reserve(query_rows * most_steps * kStepBytes);
    member.rows.reserve(
        std::max(kRowsTogether * std::max({config.hidden_size, config.feed_forward_size,
                                           config.head_count * config.head_width}),
                 8 * config.head_width));
    member.begins.resize(static_cast<std::size_t>(query_rows));
    member.ends.resize(static_cast<std::size_t>(query_rows));
    member.inverse_sums.resize(static_cast<std::size_t>(query_rows));
    member.places.resize(static_cast<std::size_t>(query_rows));
  }
}

}  // namespace nestor::embed
