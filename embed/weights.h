// Weights: the tensors of one model, checked against its configuration. Layers are read into memory
// and scanned for NaN and infinity once; the embedding table, two thirds of the file, stays on
// disk, for a text touches one row of it a token.
//
// Nothing is mapped: a file that is cut while in use makes a read fail, where a mapping would end
// the process by SIGBUS.
// Threads: constant after load; any number of threads may call it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/thread_pool.h"
#include "embed/checkpoint.h"
#include "embed/model_config.h"
#include "embed/packed_model.h"
#include "embed/safetensors.h"
#include "nestor/status.h"

namespace nestor::embed {

// Views of one layer's tensors, row-major. Norm scales are stored as 1 + weight, as the norm uses
// them.
struct LayerWeights {
  const float* input_norm = nullptr;              // (hidden)
  const float* query_key_value = nullptr;         // ((heads + 2 * key_heads) * head_width, hidden)
  const float* query_norm = nullptr;              // (head_width)
  const float* key_norm = nullptr;                // (head_width)
  const float* attention_output = nullptr;        // (hidden, heads * head_width)
  const float* post_attention_norm = nullptr;     // (hidden)
  const float* pre_feed_forward_norm = nullptr;   // (hidden)
  const float* gate_up = nullptr;                 // (2 * feed_forward, hidden): gate, then up
  const float* down = nullptr;                    // (hidden, feed_forward)
  const float* post_feed_forward_norm = nullptr;  // (hidden)
};

class Weights {
 public:
  // Reads with all threads of `pool`. Errors: kNotFound, kDataLoss (damaged; a tensor missing,
  // extra or of another shape than the configuration wants; NaN or infinity), kUnsupported,
  // kOutOfMemory, kIoError.
  static Result<Weights> load(const std::string& folder, const ModelConfig& config,
                              ThreadPool& pool);

  // The layers of a packed model in f32, without copying. REQUIRES: its precision is f32, and it
  // outlives the result.
  static Weights view(const PackedModel& model);
  // Bytes of its layer section, and its content. Errors: those of Checkpoint::read.
  static std::int64_t packed_bytes(const ModelConfig& config);
  static Status pack(const Checkpoint& checkpoint, std::span<float> section, ThreadPool& pool);

  [[nodiscard]] const std::vector<LayerWeights>& layers() const { return layers_; }
  [[nodiscard]] const float* final_norm() const { return final_norm_; }  // (hidden)
  // Of the Dense modules, in order, each (out, in). Empty where head() is there.
  [[nodiscard]] const std::vector<const float*>& dense() const { return dense_; }
  // All Dense modules in one, (hidden, output_width); null where they are apart.
  [[nodiscard]] const float* head() const { return head_; }

  // Copies row `id` of the table, (hidden). REQUIRES: 0 <= id < vocabulary.
  // Errors: kDataLoss (the file was cut meanwhile, or the row is not finite), kIoError.
  Status read_embedding(std::int32_t id, std::span<float> row) const;

 private:
  struct FreeArena {
    void operator()(float* arena) const;
  };
  Weights() = default;
  void view_arena(const ModelConfig& config, const float* arena);

  const PackedModel* packed_ = nullptr;
  std::optional<RandomAccessFile> table_file_;
  TensorEntry table_;  // (vocabulary, hidden)
  std::unique_ptr<float, FreeArena> arena_;
  std::vector<LayerWeights> layers_;
  const float* final_norm_ = nullptr;
  std::vector<const float*> dense_;
  const float* head_ = nullptr;
};

}  // namespace nestor::embed
