// A GGUF of EmbeddingGemma as a Checkpoint: f32, f16, bf16, Q8_0 and Q4_0, of llama.cpp or Ollama.
//
// Threads: free function, safe anywhere.
#pragma once

#include <memory>

#include "embed/checkpoint.h"

namespace nestor::embed {

// What a GGUF lacks comes from options.companion_folder first (tokenizer.model,
// config_sentence_transformers.json, 2_Dense and 3_Dense, each where it is there), then from what
// this version knows: the genuine tokenizer where the vocabulary is its, the genuine prompts.
// Errors: those of open_checkpoint.
Result<std::unique_ptr<Checkpoint>> open_gguf_checkpoint(const CheckpointOptions& options);

}  // namespace nestor::embed
