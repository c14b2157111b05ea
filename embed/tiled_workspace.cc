#include "embed/tiled_workspace.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace nestor::embed {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kBlockTokens = 32;

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
  const std::int64_t head_steps = round_up(config.head_width, 32) / 32;
  const std::int64_t head_panels = round_up(config.head_width, kPanelColumns) / kPanelColumns;
  blocks.clear();
  texts.clear();
  std::int64_t tokens = 0;
  std::int64_t key_bytes = 0;
  std::int64_t value_bytes = 0;
  std::int64_t most_steps = 0;
  for (const std::span<const std::int32_t> ids : batch) {
    const auto count = static_cast<std::int64_t>(ids.size());
    const auto text = static_cast<std::int64_t>(texts.size());
    const std::int64_t steps = round_up(count, kBlockTokens) / kBlockTokens;
    texts.push_back({.begin = tokens,
                     .tokens = count,
                     .keys = key_bytes,
                     .values = value_bytes,
                     .key_steps = steps});
    for (std::int64_t at = 0; at < count; at += kBlockTokens) {
      blocks.push_back({.text = text,
                        .begin = tokens + at,
                        .count = std::min(kBlockTokens, count - at),
                        .position = at});
    }
    tokens += count;
    key_bytes += steps * head_steps * kPanelStepBytes;
    value_bytes += steps * head_panels * kPanelStepBytes;
    most_steps = std::max(most_steps, steps);
  }
  const std::int64_t padded = round_up(2 * tokens, kRowBlock);  // fine inputs have two rows each
  const std::int64_t joint = layout.joint.columns;
  const std::int64_t most_input_steps =
      std::max({layout.joint.steps, layout.attention_output.steps, layout.down.steps});
  stream.reserve(tokens * config.hidden_size);
  branch.reserve(tokens * config.hidden_size);
  wide.reserve(tokens * std::max(joint, config.feed_forward_size));
  inputs.reserve(padded * most_input_steps * kStepBytes);
  input_scales.reserve(padded);
  queries.reserve((tokens * config.head_count + kRowBlock) * head_steps * 32);
  keys.reserve(key_bytes);
  values.reserve(value_bytes);
  pooled.reserve(static_cast<std::int64_t>(batch.size()) * config.hidden_size);
  rows.reserve(static_cast<std::int64_t>(batch.size()) * config.output_width());
  const std::int64_t score_rows = round_up(kBlockTokens * config.head_count, kRowBlock);
  members.resize(std::max(members.size(), static_cast<std::size_t>(team_size)));
  for (MemberScratch& member : members) {
    member.scores.reserve(score_rows * most_steps * kPanelColumns);
    member.attended.reserve(score_rows * config.head_width);
    member.row.reserve(std::max({config.hidden_size, config.feed_forward_size, head_steps * 32,
                                 config.head_count * config.head_width}));
    member.begins.resize(static_cast<std::size_t>(score_rows));
    member.ends.resize(static_cast<std::size_t>(score_rows));
    member.inverse_sums.resize(static_cast<std::size_t>(score_rows));
  }
}

}  // namespace nestor::embed
