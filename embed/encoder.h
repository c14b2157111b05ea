// Encoder: the forward pass of EmbeddingGemma, token ids to unit vectors, in the model's own words.
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
#include <vector>

#include "embed/activations.h"
#include "embed/backend.h"
#include "embed/model_config.h"
#include "embed/team.h"
#include "embed/weights.h"
#include "nestor/status.h"

namespace nestor::embed {

class Encoder {
 public:
  // All three must outlive the encoder.
  Encoder(const ModelConfig& config, const Weights& weights, const Backend& backend);

  // Encodes the texts, each a sequence of ids of this vocabulary, at most context_tokens long and
  // at least one. A text's row depends on its ids alone. The rows, (texts, output_width) of unit
  // length, lie in `activations` until its next use. Errors: kDataLoss, kIoError (reading the
  // embedding table), kCancelled, kInternal (a row without a finite length).
  Result<std::span<const float>> encode(std::span<const std::span<const std::int32_t>> texts,
                                        const Team& team, const std::stop_token& stop,
                                        Activations& activations) const;

 private:
  // Cosine and sine of every position: (context, head_width / 2) each.
  struct Rotation {
    std::vector<float> cosine;
    std::vector<float> sine;
  };
  struct Pass;  // one batch on its way through the layers

  static Rotation make_rotation(const ModelConfig& config, double base);

  const ModelConfig& config_;
  const Weights& weights_;
  const Backend& backend_;
  Rotation local_rotation_;
  Rotation full_rotation_;
};

}  // namespace nestor::embed
