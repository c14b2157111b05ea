#include "embed/tiled_encoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "embed/rotation.h"
#include "embed/team_barrier.h"
#include "embed/tiled_workspace.h"

namespace nestor::embed {
namespace {

// int8: a pass over so few tokens waits for the weights, not for the products, so its inputs may as
// well have 16 bits. It halves the error where there is little to average over (DECISIONS.md).
constexpr std::int64_t kShortTextTokens = 32;

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

}  // namespace

// Every member runs all steps, each on its part of them, and waits for the others in between.
class TiledEncoder::Member {
 public:
  Member(const TiledEncoder& encoder, TiledWorkspace& to, TeamBarrier& barrier, std::int64_t tokens,
         int rank, int size)
      : encoder_(encoder),
        config_(encoder.config_),
        layout_(encoder.layout_),
        backend_(encoder.backend_),
        to_(to),
        scratch_(to.members[static_cast<std::size_t>(rank)]),
        barrier_(barrier),
        tokens_(tokens),
        rank_(rank),
        size_(size) {}

  // Sets `stopped` and ends early when `stop` is heard.
  void run(const std::stop_token& stop, std::atomic<bool>& stopped) {
    const float* post_scale = nullptr;  // of the branch that waits to be added
    for (layer_ = 0; layer_ < config_.layers.size(); ++layer_) {
      if (rank_ == 0 && stop.stop_requested()) stopped = true;
      const TiledLayer& layer = encoder_.weights_.layers[layer_];
      add_branch_and_norm(post_scale, layer.input_norm);
      barrier_.wait();
      if (stopped) return;  // all see the same: the next chance to set it lies behind a barrier
      run_layer(config_.layers[layer_], layer);
      post_scale = layer.post_feed_forward_norm;
    }
    add_branch_and_norm(post_scale, nullptr);
    barrier_.wait();
    finish();
  }

 private:
  [[nodiscard]] std::int64_t hidden() const { return config_.hidden_size; }
  [[nodiscard]] std::int64_t query_width() const { return config_.head_count * config_.head_width; }
  [[nodiscard]] std::int64_t head_steps() const { return config_.head_width / 32; }

  // This member's part of [0, count).
  [[nodiscard]] Range part_of(std::int64_t count) const {
    return {count * rank_ / size_, count * (rank_ + 1) / size_};
  }
  // The same in whole vectors.
  [[nodiscard]] Range lanes_of(std::int64_t width) const {
    const Range vectors = part_of(width / kLanes);
    return {vectors.begin * kLanes, vectors.end * kLanes};
  }
  [[nodiscard]] TiledRows inputs() const {
    return {to_.inputs.data(), to_.input_scales.data(), to_.fine};
  }

  [[nodiscard]] HalfRows strips(std::uint16_t* data, HalfOrder order) const {
    return {data, strip_values(order, tokens_), order};
  }
  [[nodiscard]] HalfRows branch() const { return strips(to_.branch.data(), HalfOrder::kPairs); }
  [[nodiscard]] HalfRows joint() const { return strips(to_.wide.data(), HalfOrder::kPairs); }
  [[nodiscard]] HalfRows attended() const { return branch(); }  // free until its product is made
  [[nodiscard]] HalfRows activated() const { return strips(to_.wide.data(), HalfOrder::kPlain); }

  void run_layer(LayerKind kind, const TiledLayer& layer) {
    linear(LinearLayer::kJoint, layer.joint, layer.attention_output, joint());
    barrier_.wait();
    run_attention(kind, layer);
    barrier_.wait();
    linear(LinearLayer::kAttentionOutput, layer.attention_output, layer.gate_up, branch());
    barrier_.wait();
    add_branch_and_norm(layer.post_attention_norm, layer.pre_feed_forward_norm);
    barrier_.wait();
    linear(LinearLayer::kGateUp, layer.gate_up, layer.down, activated());
    barrier_.wait();
    make_input(activated(), part_of(tokens_), config_.feed_forward_size,
               rotation_steps(config_.feed_forward_size), layout_.down.steps);
    barrier_.wait();
    const bool last = layer_ + 1 == config_.layers.size();
    linear(LinearLayer::kDown, layer.down,
           last ? TiledMatrix() : encoder_.weights_.layers[layer_ + 1].joint, branch());
    barrier_.wait();
  }

  // stream += norm(branch) where post_scale; inputs = norm(stream) where pre_scale.
  void add_branch_and_norm(const float* post_scale, const float* pre_scale) {
    const Range rows = part_of(tokens_);
    backend_.norm({.rows = rows.end - rows.begin,
                   .width = hidden(),
                   .epsilon = config_.norm_epsilon,
                   .stream = to_.stream.data() + rows.begin * hidden(),
                   .branch = post_scale == nullptr ? HalfRows() : branch(),
                   .post_scale = post_scale,
                   .pre_scale = pre_scale,
                   .rotation = rotation_steps(hidden()),
                   .first_row = rows.begin,
                   .out = inputs(),
                   .out_steps = layout_.joint.steps,
                   .scratch = scratch_.rows.data()});
  }

  // inputs = x(rows, width).
  void make_input(const HalfRows& x, const Range& rows, std::int64_t width,
                  const RotationSteps& rotation, std::int64_t steps) {
    backend_.make_input({.rows = rows.end - rows.begin,
                         .width = width,
                         .x = x,
                         .rotation = rotation,
                         .first_row = rows.begin,
                         .out = inputs(),
                         .out_steps = steps,
                         .scratch = scratch_.rows.data()});
  }

  // result = inputs * matrix^T; `next` is the matrix of the linear layer after this one.
  void linear(LinearLayer which, const TiledMatrix& matrix, const TiledMatrix& next,
              const HalfRows& result) {
    if (to_.observer && size_ == 1) {
      to_.observer({.layer = layer_,
                    .which = which,
                    .rows = tokens_,
                    .steps = matrix.steps,
                    .data = to_.inputs.data(),
                    .scales = to_.input_scales.data(),
                    .fine = to_.fine});
    }
    const Range panels = part_of(matrix.panel_count);
    const Range later = part_of(next.panel_count);  // its first panel is fetched ahead
    const std::int64_t later_bytes = next.steps * kPanelStepBytes;
    const auto product = which == LinearLayer::kGateUp ? backend_.linear_gelu : backend_.linear;
    product({.rows = tokens_,
             .a = inputs(),
             .b = matrix,
             .panel_begin = panels.begin,
             .panel_end = panels.end,
             .result = result,
             .next = next.panels + later.begin * later_bytes,
             .next_bytes = later.begin < later.end ? later_bytes : 0});
  }

  // wide(tokens, joint) -> queries, keys, values -> attended -> inputs. Alone, text by text: what
  // is made of one is still near when it is used. In a team each takes its part of the blocks of
  // all texts.
  void run_attention(LayerKind kind, const TiledLayer& layer) {
    const std::size_t count = to_.blocks.size();
    if (size_ > 1) {
      const auto rank = static_cast<std::size_t>(rank_);
      const auto size = static_cast<std::size_t>(size_);
      for (std::size_t i = rank; i < count; i += size) make_heads(to_.blocks[i], kind, layer);
      barrier_.wait();
      for (std::size_t i = rank; i < count; i += size) attend(to_.blocks[i], kind);
      return;
    }
    for (std::size_t begin = 0, end = 0; begin < count; begin = end) {
      while (end < count && to_.blocks[end].text == to_.blocks[begin].text) ++end;
      for (std::size_t i = begin; i < end; ++i) make_heads(to_.blocks[i], kind, layer);
      for (std::size_t i = begin; i < end; ++i) attend(to_.blocks[i], kind);
    }
  }

  [[nodiscard]] const TextPlace& text_of(const TokenBlock& block) const {
    return to_.texts[static_cast<std::size_t>(block.text)];
  }

  void make_heads(const TokenBlock& block, LayerKind kind, const TiledLayer& layer) {
    const std::int64_t table = config_.context_tokens * config_.head_width / 2;
    const float* cosine = encoder_.rotary_ + (kind == LayerKind::kLocal ? 0 : 2 * table);
    const TextPlace& text = text_of(block);
    backend_.make_heads({.tokens = block.count,
                         .position = block.position,
                         .ends_text = block.position + block.count == text.tokens,
                         .head_count = config_.head_count,
                         .head_width = config_.head_width,
                         .epsilon = config_.norm_epsilon,
                         .joint = joint(),
                         .first_row = block.begin,
                         .query_scale = layer.query_norm,
                         .key_scale = layer.key_norm,
                         .cosine = cosine,
                         .sine = cosine + table,
                         .queries = to_.queries.data() + block.queries,
                         .keys = to_.keys.data() + text.keys,
                         .values = to_.values.data() + text.keys,
                         .key_steps = text.key_steps,
                         .scratch = scratch_.rows.data()});
  }

  // All heads of a block share the text's keys: (tokens of the block * heads) rows of queries.
  void attend(const TokenBlock& block, LayerKind kind) {
    const TextPlace& text = text_of(block);
    const std::int64_t reach =
        kind == LayerKind::kLocal ? config_.local_reach : config_.context_tokens;
    const std::int64_t heads = config_.head_count;
    const std::int64_t rows = block.count * heads;
    const std::int64_t first_step = std::max<std::int64_t>(0, block.position - reach) / 32;
    const std::int64_t last = std::min(text.tokens, block.position + block.count + reach);
    const std::int64_t steps = (last + 31) / 32 - first_step;
    for (std::int64_t token = 0, row = 0; token < block.count; ++token) {
      const std::int64_t query = block.position + token;
      const std::int64_t begin = std::max<std::int64_t>(0, query - reach);
      const std::int64_t end = std::min(text.tokens, query + reach + 1);
      for (std::int64_t head = 0; head < heads; ++head, ++row) {
        const auto at = static_cast<std::size_t>(row);
        scratch_.begins[at] = static_cast<std::int32_t>(begin - first_step * 32);
        scratch_.ends[at] = static_cast<std::int32_t>(end - first_step * 32);
        scratch_.places[at] = half_offset(HalfOrder::kPairs, block.begin + token) +
                              head * head_steps() * attended().strip;
      }
    }
    const std::int64_t key_panel_bytes = head_steps() * kPanelStepBytes;
    backend_.scores(
        {.product = {.rows = rows,
                     .a = to_.queries.data() + block.queries,
                     .panels = to_.keys.data() + text.keys + first_step * key_panel_bytes,
                     .panel_stride = key_panel_bytes,
                     .panel_count = steps,
                     .steps = head_steps()},
         .result = scratch_.scores.data()});
    backend_.softmax({.rows = rows,
                      .panel_count = steps,
                      .scores = scratch_.scores.data(),
                      .weights = scratch_.weights.data(),
                      .begins = scratch_.begins.data(),
                      .ends = scratch_.ends.data(),
                      .inverse_sums = scratch_.inverse_sums.data()});
    backend_.weighted_values(
        {.product = {.rows = rows,
                     .a = scratch_.weights.data(),
                     .panels = to_.values.data() + text.keys + first_step * kPanelStepBytes,
                     .panel_stride = text.key_steps * kPanelStepBytes,
                     .panel_count = config_.head_width / kPanelColumns,
                     .steps = steps},
         .factors = scratch_.inverse_sums.data(),
         .places = scratch_.places.data(),
         .result = attended()});
    make_input(attended(), {block.begin, block.begin + block.count}, query_width(),
               head_rotation_steps(heads, config_.head_width), layout_.attention_output.steps);
  }

  // Mean over the tokens of the final norm, then the Dense layers; each member its columns of all
  // texts.
  void finish() {
    const Range columns = lanes_of(hidden());
    for (std::size_t i = 0; i < to_.texts.size(); ++i) {
      const TextPlace& text = to_.texts[i];
      float* mean = to_.pooled.data() + static_cast<std::int64_t>(i) * hidden();
      std::fill(mean + columns.begin, mean + columns.end, 0.0F);
      backend_.norm_sum(text.tokens, hidden(), columns.begin, columns.end,
                        to_.stream.data() + text.begin * hidden(), encoder_.weights_.final_norm,
                        config_.norm_epsilon, mean);
      for (std::int64_t j = columns.begin; j < columns.end; ++j) {
        mean[j] /= static_cast<float>(text.tokens);
      }
    }
    barrier_.wait();
    const std::int64_t output = config_.output_width();
    const Range outputs = lanes_of(output);
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(to_.texts.size()); ++i) {
      backend_.transform(hidden(), output, outputs.begin, outputs.end,
                         to_.pooled.data() + i * hidden(), encoder_.weights_.head,
                         to_.rows.data() + i * output);
    }
  }

  const TiledEncoder& encoder_;
  const ModelConfig& config_;
  const TiledLayout& layout_;
  const TiledBackend& backend_;
  TiledWorkspace& to_;
  MemberScratch& scratch_;
  TeamBarrier& barrier_;
  const std::int64_t tokens_;
  const int rank_;
  const int size_;
  std::size_t layer_ = 0;
};

TiledEncoder::TiledEncoder(const PackedModel& model, const TiledBackend& backend,
                           const TiledLayout& layout)
    : model_(model),
      config_(model.config()),
      backend_(backend),
      layout_(layout),
      weights_(
          view_tiled_weights(layout, config_.layers.size(), model.section(PackedSection::kLayers))),
      rotary_(reinterpret_cast<const float*>(model.section(PackedSection::kRotary).data())) {
  weights_.head = reinterpret_cast<const float*>(model.section(PackedSection::kHead).data());
}

Result<std::unique_ptr<Encoder>> TiledEncoder::create(const PackedModel& model,
                                                      const TiledBackend& backend) {
  NESTOR_CHECK(model.precision() == backend.precision, "a backend of the model's precision");
  NESTOR_ASSIGN_OR_RETURN(const TiledLayout layout,
                          tiled_layout(model.config(), model.precision()));
  return std::unique_ptr<Encoder>(new TiledEncoder(model, backend, layout));
}

std::int64_t TiledEncoder::short_text_tokens() const {
  return model_.precision() == Precision::kInt8 ? kShortTextTokens : 0;
}

std::unique_ptr<Workspace> TiledEncoder::make_workspace() const {
  return std::make_unique<TiledWorkspace>();
}

Result<std::span<const float>> TiledEncoder::encode(
    std::span<const std::span<const std::int32_t>> texts, const Team& team,
    const std::stop_token& stop, Workspace& workspace) const {
  auto& to = dynamic_cast<TiledWorkspace&>(workspace);
  NESTOR_RETURN_IF_ERROR(model_.check_unchanged());
  to.plan(config_, layout_, texts, team.size());
  to.fine = is_short(texts.front().size());
  const auto hidden = static_cast<std::size_t>(config_.hidden_size);
  const float scale = std::sqrt(static_cast<float>(hidden));
  float* row = to.stream.data();
  std::int64_t tokens = 0;
  for (const std::span<const std::int32_t> ids : texts) {
    const auto count = static_cast<std::int64_t>(ids.size());
    NESTOR_CHECK(count >= 1 && count <= config_.context_tokens, "a text of the model's context");
    NESTOR_CHECK(is_short(ids.size()) == to.fine, "short texts apart from longer ones");
    tokens += count;
    for (const std::int32_t id : ids) {
      NESTOR_RETURN_IF_ERROR(model_.read_embedding(id, {row, hidden}));
      for (std::size_t i = 0; i < hidden; ++i) row[i] *= scale;
      row += hidden;
    }
  }
  TeamBarrier barrier(team.size());
  std::atomic<bool> stopped = false;
  const auto begin = std::chrono::steady_clock::now();
  team.run(
      [&](int rank) { Member(*this, to, barrier, tokens, rank, team.size()).run(stop, stopped); });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  to.waited_share = std::chrono::duration<double>(barrier.waited()) / (took * team.size());
  if (stopped) return Status(StatusCode::kCancelled, "the embedding was stopped");
  const auto width = static_cast<std::size_t>(config_.output_width());
  const std::span<float> rows(to.rows.data(), texts.size() * width);
  for (std::size_t at = 0; at < rows.size(); at += width) {
    if (!normalize(rows.subspan(at, width))) {
      return Status(StatusCode::kInternal,
                    "the encoder's vector has no finite length; check the model with "
                    "`nestor doctor`");
    }
  }
  return std::span<const float>(rows);
}

}  // namespace nestor::embed
