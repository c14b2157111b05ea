// The configuration of a packed model as JSON, to it and from it. The bytes are untrusted: every
// size is bounded as in model_config.cc. Threads: free functions, safe anywhere.
#pragma once

#include <string>
#include <string_view>

#include "embed/checkpoint.h"
#include "embed/model_config.h"
#include "nestor/status.h"

namespace nestor::embed {

struct PackedConfig {
  ModelConfig model;
  CheckpointIdentity identity;
};

std::string encode_packed_config(const ModelConfig& model, const CheckpointIdentity& identity);
// Errors: kDataLoss (names the field).
Result<PackedConfig> decode_packed_config(std::string_view json);

}  // namespace nestor::embed
