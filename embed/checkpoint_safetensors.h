// A folder of the sentence-transformers layout as a Checkpoint: model.safetensors, or the files
// model.safetensors.index.json names, and those of the Dense modules, in F32, F16 or BF16.
//
// Threads: free function, safe anywhere.
#pragma once

#include <memory>

#include "embed/checkpoint.h"
#include "embed/checkpoint_tensors.h"

namespace nestor::embed {

// Names may carry the prefix "model.", as some fine-tunes are saved. Errors: those of
// open_checkpoint.
Result<std::unique_ptr<Checkpoint>> open_safetensors_checkpoint(const CheckpointOptions& options);

// Takes the Dense modules `config` names from their folders and adds them to `tensors`.
Status add_dense_files(const std::string& folder, const ModelConfig& config,
                       StoredTensors& tensors);

}  // namespace nestor::embed
