// TiledEncoder: the forward pass of EmbeddingGemma in bf16 or int8, over a packed model. The same
// steps as FloatEncoder, cut differently: a row is normed, rotated and quantised in one go,
// products run over whole panels, attention is two products a block of 32 tokens, keys outside the
// window are skipped. Where several threads share one pass, each takes its part of every step.
//
// int8: a text's vector depends on its ids alone, bit for bit: not on its neighbours, the threads
// or the instruction set. Threads: constant after construction; any number of passes at once, each
// with its own workspace.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>

#include "embed/encoder.h"
#include "embed/packed_model.h"
#include "embed/tiled_backend.h"
#include "embed/tiled_weights.h"

namespace nestor::embed {

class TiledEncoder : public Encoder {
 public:
  // Both must outlive the encoder; the backend's precision is the model's. Errors: those of
  // tiled_layout.
  static Result<std::unique_ptr<Encoder>> create(const PackedModel& model,
                                                 const TiledBackend& backend);

  [[nodiscard]] std::int64_t short_text_tokens() const override;
  [[nodiscard]] std::unique_ptr<Workspace> make_workspace() const override;
  Result<std::span<const float>> encode(std::span<const std::span<const std::int32_t>> texts,
                                        const Team& team, const std::stop_token& stop,
                                        Workspace& workspace) const override;

 private:
  class Member;  // one thread's part in a pass

  [[nodiscard]] bool is_short(std::size_t tokens) const {
    return static_cast<std::int64_t>(tokens) <= short_text_tokens();
  }

  TiledEncoder(const PackedModel& model, const TiledBackend& backend, const TiledLayout& layout);

  const PackedModel& model_;
  const ModelConfig& config_;
  const TiledBackend& backend_;
  TiledLayout layout_;
  TiledWeights weights_;
  const float* rotary_;  // (local, full; cosine, sine; context, head_width / 2)
};

}  // namespace nestor::embed
