// Which GGUF files hold google/embeddinggemma-300m: by the SHA-256 of a published file, or by that
// of the tensors, which a conversion by llama.cpp gives whatever metadata it writes.
//
// Quantisation-aware checkpoints (embeddinggemma-300m-qat-…) are other weights and not here.
// Threads: free functions, safe anywhere.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "embed/checkpoint_tensors.h"
#include "nestor/status.h"

namespace nestor::embed {

// A published file of the base checkpoint.
bool is_known_gguf(const std::string& file_sha256);

// Tensors converted from the base checkpoint: by their hash below.
bool are_known_transformer_tensors(const std::string& sha256);
bool are_known_dense_tensors(const std::string& sha256);

// The sizes, bases and reach of the base checkpoint: known tensors under other metadata are another
// model.
bool is_known_config(const ModelConfig& config);

// Hex SHA-256 over name, format and stored bytes of `expected` in their order. Errors: those of
// reading. Cost: reads them. REQUIRES: all are among `tensors`.
Result<std::string> tensors_sha256(std::span<const ExpectedTensor> expected,
                                   const StoredTensors& tensors);

}  // namespace nestor::embed
