// FloatEncoder: the forward pass of EmbeddingGemma in fp32, in the model's own words.
// What the words cost on a processor is the backend's business.
//
//   stream = embedding * sqrt(hidden)
//   each layer:  stream += norm(attention(norm(stream)));  stream +=
//   norm(feed_forward(norm(stream))) vector = unit(dense(dense(mean over tokens of norm(stream))))
//
// Source: Gemma 3 in Hugging Face transformers, with bidirectional attention; agreement with its
// fp32 run is tested by tests/embed/golden_vectors_test.cc (cosine >= 0.99999). Threads: constant
// after construction; any number of passes may run at once, each with its own Activations.
#pragma once

#include <cstdint>
#include <span>
#include <stop_token>

#include "embed/activations.h"
#include "embed/backend.h"
#include "embed/encoder.h"
#include "embed/model_config.h"
#include "embed/rotary.h"
#include "embed/team.h"
#include "embed/weights.h"
#include "nestor/status.h"

namespace nestor::embed {

class FloatEncoder : public Encoder {
 public:
  // All three must outlive the encoder.
  FloatEncoder(const ModelConfig& config, const Weights& weights, const Backend& backend);

  [[nodiscard]] std::unique_ptr<Workspace> make_workspace() const override;
  Result<std::span<const float>> encode(std::span<const std::span<const std::int32_t>> texts,
                                        const Team& team, const std::stop_token& stop,
                                        Workspace& workspace) const override;

 private:
  struct Pass;  // one batch on its way through the layers

  const ModelConfig& config_;
  const Weights& weights_;
  const Backend& backend_;
  Rotary local_rotary_;
  Rotary full_rotary_;
};

}  // namespace nestor::embed
