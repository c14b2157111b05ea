// Checkpoint: the tensors of one model on disk under one set of names, whatever the file format:
// the packer's only view of safetensors and GGUF. Both are untrusted bytes; every range is checked
// against the file before it is used.
//
// Threads: constant after open; read may be called by any number of threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embed/model_config.h"
#include "embed/vocabulary.h"
#include "nestor/status.h"

namespace nestor::embed {

// Who the checkpoint is. `space` and `name` are those of the base checkpoint where its files are
// known.
struct CheckpointIdentity {
  std::string name;              // "embeddinggemma-300m", or "unverified-<8 hex>"
  std::string space;             // hex SHA-256, see fingerprint.h
  std::string weights_sha256;    // hex, of the file that holds the layers
  std::string tokenizer_sha256;  // hex, of tokenizer.model
  std::string format;            // "safetensors f32", "GGUF Q8_0", …
};

struct CheckpointOptions {
  // A folder of the sentence-transformers layout, or a .gguf file (an Ollama blob has no suffix:
  // the magic decides).
  std::string path;
  // For a GGUF: a folder that supplies what it lacks (tokenizer.model, prompts, Dense modules). May
  // be empty.
  std::string companion_folder;
  bool allow_unverified = false;  // see EmbedderOptions::allow_unverified_model
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  [[nodiscard]] virtual const CheckpointIdentity& identity() const = 0;
  [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;

  // Rows [first_row, first_row + out.size() / columns) of a tensor as f32, row-major. Names are
  // those of transformers ("embed_tokens.weight", "layers.0.self_attn.q_proj.weight",
  // "norm.weight") and "dense.0.weight", "dense.1.weight", … for the Dense modules in order; a
  // vector is one row. Norm scales are given as 1 + weight, as the norm uses them. Errors:
  // kDataLoss (cut, NaN or infinity), kIoError. REQUIRES: a tensor of the configuration, in its
  // range.
  virtual Status read(std::string_view tensor, std::int64_t first_row,
                      std::span<float> out) const = 0;
};

// Opens either format; shapes of all tensors are checked against the configuration. Errors:
// kNotFound, kDataLoss, kUnsupported (what this encoder does not do, a GGUF without Dense layers,
// an unknown tokenizer without `allow_unverified`: each names what is missing and what to type),
// kIoError. Cost: reads headers, vocabulary and, the first time, all bytes for their SHA-256.
Result<std::unique_ptr<Checkpoint>> open_checkpoint(const CheckpointOptions& options);

}  // namespace nestor::embed
