// LoadedModel: a model ready to encode, wherever it came from: a packed file, or the folder of a
// checkpoint in f32.
// Threads: constant after load_model; any number of threads may use it.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "embed/encoder.h"
#include "embed/model_config.h"
#include "embed/tokenizer.h"
#include "nestor/embedder.h"
#include "nestor/status.h"

namespace nestor::embed {

class LoadedModel {
 public:
  virtual ~LoadedModel() = default;
  [[nodiscard]] virtual const ModelConfig& config() const = 0;
  [[nodiscard]] virtual const Tokenizer& tokenizer() const = 0;
  [[nodiscard]] virtual const Encoder& encoder() const = 0;
  // Errors: kDataLoss (a packed file was changed while it is open; ask before each use).
  [[nodiscard]] virtual Status check_unchanged() const = 0;
  // All but thread_count.
  [[nodiscard]] const ModelInfo& info() const { return info_; }

 protected:
  ModelInfo info_;
};

// Finds the model (model_folder.h), packs it into the cache where only its checkpoint is there
// (packed_cache.h), and opens it. Errors: those of Embedder::open.
Result<std::unique_ptr<LoadedModel>> load_model(const EmbedderOptions& options, ThreadPool& pool);

}  // namespace nestor::embed
