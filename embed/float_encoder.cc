#include "embed/float_encoder.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "embed/openblas_library.h"

namespace nestor::embed {
namespace {

// Columns of a product, and rows of an element-wise step, are dealt out in multiples of these.
constexpr std::int64_t kColumnGrain = 64;
constexpr std::int64_t kRowGrain = 4;

}  // namespace

// Everything one batch needs on its way; members are (rows, width) as activations.h says.
struct FloatEncoder::Pass {
  const FloatEncoder& encoder;
  const ModelConfig& config;
  const Backend& backend;
  const Team& team;
  Activations& to;
  std::int64_t tokens = 0;

  [[nodiscard]] std::int64_t hidden() const { return config.hidden_size; }
  [[nodiscard]] std::int64_t query_width() const { return config.head_count * config.head_width; }
  [[nodiscard]] std::int64_t joint_width() const {
    return (config.head_count + 2 * config.key_head_count) * config.head_width;
  }

  Status embed(std::span<const std::span<const std::int32_t>> texts);
  void plan_attention(std::span<const std::span<const std::int32_t>> texts) const;
  void run_layer(LayerKind kind, const LayerWeights& layer);
  void attend(LayerKind kind, const LayerWeights& layer);
  void attend_block(const QueryBlock& block, std::int64_t head, LayerKind kind,
                    AttentionScratch& scratch) const;
  void feed_forward(const LayerWeights& layer, std::int64_t begin, std::int64_t end);
  void pool(std::span<const std::span<const std::int32_t>> texts) const;
  Result<std::span<const float>> project(std::int64_t text_count);
  Result<std::span<const float>> unit_rows(float* from, std::int64_t text_count) const;

  // y(rows, out) = x(rows, in) * weight(out, in)^T.
  void linear(std::int64_t rows, std::int64_t in, std::int64_t out, const float* x,
              const float* weight, float* y) const {
    team.split(out, kColumnGrain, [&](std::int64_t begin, std::int64_t end) {
      backend.product_transposed({.rows = rows, .columns = end - begin, .inner = in}, 1.0F, {x, in},
                                 {weight + begin * in, in}, {y + begin, out});
    });
  }
  // result = norm(x), both (rows, hidden).
  void norm(std::int64_t rows, const float* x, const float* scale, float* result) const {
    team.split(rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      backend.rms_norm(end - begin, hidden(), x + begin * hidden(), scale, config.norm_epsilon,
                       result + begin * hidden());
    });
  }
  // sum += norm(x), both (rows, hidden).
  void norm_add(std::int64_t rows, const float* x, const float* scale, float* sum) const {
    team.split(rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
      backend.rms_norm_add(end - begin, hidden(), x + begin * hidden(), scale, config.norm_epsilon,
                           sum + begin * hidden());
    });
  }
};

Status FloatEncoder::Pass::embed(std::span<const std::span<const std::int32_t>> texts) {
  const float scale = std::sqrt(static_cast<float>(hidden()));
  std::int64_t token = 0;
  for (const std::span<const std::int32_t> ids : texts) {
    std::int32_t position = 0;
    for (const std::int32_t id : ids) {
      const std::span<float> row(to.stream.data() + token * hidden(),
                                 static_cast<std::size_t>(hidden()));
      NESTOR_RETURN_IF_ERROR(encoder.weights_.read_embedding(id, row));
      for (float& value : row) value *= scale;
      to.positions[static_cast<std::size_t>(token)] = position++;
      ++token;
    }
  }
  return {};
}

void FloatEncoder::Pass::plan_attention(
    std::span<const std::span<const std::int32_t>> texts) const {
  to.blocks.clear();
  std::int64_t text_begin = 0;
  for (const std::span<const std::int32_t> ids : texts) {
    const std::int64_t text_end = text_begin + static_cast<std::int64_t>(ids.size());
    for (std::int64_t begin = text_begin; begin < text_end; begin += kQueryBlock) {
      to.blocks.push_back({text_begin, text_end, begin, std::min(text_end, begin + kQueryBlock)});
    }
    text_begin = text_end;
  }
}

// One head of one block of queries: scores, softmax, weighted values.
void FloatEncoder::Pass::attend_block(const QueryBlock& block, std::int64_t head, LayerKind kind,
                                      AttentionScratch& scratch) const {
  // Keys outside the reach of the whole block are skipped; inside it, row by row, the softmax does
  // the rest.
  const bool local = kind == LayerKind::kLocal;
  const std::int64_t reach = local ? config.local_reach : config.context_tokens;
  const std::int64_t key_begin = std::max(block.text_begin, block.begin - reach);
  const std::int64_t key_end = std::min(block.text_end, block.end + reach);
  const std::int64_t queries = block.end - block.begin;
  const std::int64_t keys = key_end - key_begin;
  for (std::int64_t row = 0; row < queries; ++row) {
    const std::int64_t query = block.begin + row;
    const std::int64_t first = std::max(key_begin, query - reach);
    const std::int64_t last = std::min(key_end, query + reach + 1);
    scratch.ranges[static_cast<std::size_t>(row)] = {static_cast<std::int32_t>(first - key_begin),
                                                     static_cast<std::int32_t>(last - key_begin)};
  }
  // (tokens, queries of every head | keys of every key head | values of every key head)
  const std::int64_t stride = joint_width();
  const float* base = to.query_key_value.data();
  const std::int64_t key_head = head / (config.head_count / config.key_head_count);
  const std::int64_t key_column = query_width() + key_head * config.head_width;
  const std::int64_t value_column = key_column + config.key_head_count * config.head_width;
  const float* q = base + block.begin * stride + head * config.head_width;
  const float* k = base + key_begin * stride + key_column;
  const float* v = base + key_begin * stride + value_column;
  const Matrix scores = {scratch.scores.data(), keys};
  backend.product_transposed({.rows = queries, .columns = keys, .inner = config.head_width},
                             config.score_scale, {q, stride}, {k, stride}, scores);
  backend.softmax(queries, keys, scratch.ranges.data(), scores);
  float* out = to.attended.data() + block.begin * query_width() + head * config.head_width;
  backend.product({.rows = queries, .columns = config.head_width, .inner = keys},
                  {scores.data, scores.stride}, {v, stride}, {out, query_width()});
}

void FloatEncoder::Pass::attend(LayerKind kind, const LayerWeights& layer) {
  const Rotary& rotary = kind == LayerKind::kLocal ? encoder.local_rotary_ : encoder.full_rotary_;
  const std::int64_t width = config.head_width;
  team.split(tokens, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t angles = to.positions[static_cast<std::size_t>(token)] * (width / 2);
      float* heads = to.query_key_value.data() + token * joint_width();
      for (std::int64_t head = 0; head < config.head_count + config.key_head_count; ++head) {
        backend.norm_rotate(width, heads + head * width,
                            head < config.head_count ? layer.query_norm : layer.key_norm,
                            config.norm_epsilon, rotary.cosine.data() + angles,
                            rotary.sine.data() + angles);
      }
    }
  });
  const auto work_count = static_cast<std::int64_t>(to.blocks.size()) * config.head_count;
  team.for_each(work_count, [&](std::int64_t index, int worker) {
    attend_block(to.blocks[static_cast<std::size_t>(index / config.head_count)],
                 index % config.head_count, kind, to.attention[static_cast<std::size_t>(worker)]);
  });
}

// branch = down(gelu(gate(normed)) * up(normed)) for the token rows [begin, end).
void FloatEncoder::Pass::feed_forward(const LayerWeights& layer, std::int64_t begin,
                                      std::int64_t end) {
  const std::int64_t rows = end - begin;
  const std::int64_t inner = config.feed_forward_size;
  linear(rows, hidden(), 2 * inner, to.normed.data() + begin * hidden(), layer.gate_up,
         to.gate_up.data());
  team.split(rows, kRowGrain, [&](std::int64_t first, std::int64_t last) {
    backend.gelu_multiply(last - first, inner, to.gate_up.data() + first * 2 * inner,
                          to.gated.data() + first * inner);
  });
  linear(rows, inner, hidden(), to.gated.data(), layer.down, to.branch.data() + begin * hidden());
}

void FloatEncoder::Pass::run_layer(LayerKind kind, const LayerWeights& layer) {
  norm(tokens, to.stream.data(), layer.input_norm, to.normed.data());
  linear(tokens, hidden(), joint_width(), to.normed.data(), layer.query_key_value,
         to.query_key_value.data());
  attend(kind, layer);
  linear(tokens, query_width(), hidden(), to.attended.data(), layer.attention_output,
         to.branch.data());
  norm_add(tokens, to.branch.data(), layer.post_attention_norm, to.stream.data());

  norm(tokens, to.stream.data(), layer.pre_feed_forward_norm, to.normed.data());
  for (std::int64_t begin = 0; begin < tokens; begin += kFeedForwardBlock) {
    feed_forward(layer, begin, std::min(tokens, begin + kFeedForwardBlock));
  }
  norm_add(tokens, to.branch.data(), layer.post_feed_forward_norm, to.stream.data());
}

// pooled(texts, hidden) = mean over the tokens of the final norm; BOS, EOS and prompt count like
// any other.
void FloatEncoder::Pass::pool(std::span<const std::span<const std::int32_t>> texts) const {
  norm(tokens, to.stream.data(), encoder.weights_.final_norm(), to.normed.data());
  const float* row = to.normed.data();
  float* mean = to.pooled.data();
  for (const std::span<const std::int32_t> ids : texts) {
    std::fill(mean, mean + hidden(), 0.0F);
    for (std::size_t token = 0; token < ids.size(); ++token, row += hidden()) {
      for (std::int64_t i = 0; i < hidden(); ++i) mean[i] += row[i];
    }
    for (std::int64_t i = 0; i < hidden(); ++i) mean[i] /= static_cast<float>(ids.size());
    mean += hidden();
  }
}

// The Dense modules and the normalisation: pooled -> rows(texts, output_width) of unit length.
Result<std::span<const float>> FloatEncoder::Pass::project(std::int64_t text_count) {
  float* from = to.pooled.data();
  float* into = to.projected.data();
  if (const float* head = encoder.weights_.head(); head != nullptr) {
    backend.product({.rows = text_count, .columns = config.output_width(), .inner = hidden()},
                    {from, hidden()}, {head, config.output_width()}, {into, config.output_width()});
    return unit_rows(into, text_count);
  }
  for (std::size_t i = 0; i < config.dense.size(); ++i) {
    linear(text_count, config.dense[i].in_features, config.dense[i].out_features, from,
           encoder.weights_.dense()[i], into);
    std::swap(from, into);
  }
  return unit_rows(from, text_count);
}

Result<std::span<const float>> FloatEncoder::Pass::unit_rows(float* from,
                                                             std::int64_t text_count) const {
  const auto width = static_cast<std::size_t>(config.output_width());
  const std::span<float> rows(from, static_cast<std::size_t>(text_count) * width);
  for (std::size_t at = 0; at < rows.size(); at += width) {
    if (!normalize(rows.subspan(at, width))) {
      return Status(StatusCode::kInternal,
                    "the encoder's vector has no finite length; check the model with "
                    "`nestor model info`");
    }
  }
  return std::span<const float>(rows);
}

FloatEncoder::FloatEncoder(const ModelConfig& config, const Weights& weights,
                           const Backend& backend)
    : config_(config),
      weights_(weights),
      backend_(backend),
      local_rotary_(
          make_rotary(config.context_tokens, config.head_width, config.local_rotation_base)),
      full_rotary_(
          make_rotary(config.context_tokens, config.head_width, config.full_rotation_base)) {}

std::unique_ptr<Workspace> FloatEncoder::make_workspace() const {
  return std::make_unique<Activations>();
}

Result<std::span<const float>> FloatEncoder::encode(
    std::span<const std::span<const std::int32_t>> texts, const Team& team,
    const std::stop_token& stop, Workspace& workspace) const {
  auto& activations = dynamic_cast<Activations&>(workspace);
  std::int64_t tokens = 0;
  for (const std::span<const std::int32_t> ids : texts) {
    const auto count = static_cast<std::int64_t>(ids.size());
    NESTOR_CHECK(count >= 1 && count <= config_.context_tokens, "a text of the model's context");
    tokens += count;
  }
  const auto text_count = static_cast<std::int64_t>(texts.size());
  activations.reserve(config_, tokens, text_count, team.size());
  const OpenBlasLibrary::OneThread one_thread(backend_.openblas);
  Pass pass{.encoder = *this,
            .config = config_,
            .backend = backend_,
            .team = team,
            .to = activations,
            .tokens = tokens};
  NESTOR_RETURN_IF_ERROR(pass.embed(texts));
  pass.plan_attention(texts);
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    if (stop.stop_requested()) return Status(StatusCode::kCancelled, "the embedding was stopped");
    pass.run_layer(config_.layers[i], weights_.layers()[i]);
  }
  pass.pool(texts);
  return pass.project(text_count);
}

}  // namespace nestor::embed
