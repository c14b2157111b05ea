// The model's own description of itself: sizes, layer kinds, pooling, head and prompts, read from
// the JSON files of its folder. Nothing is assumed: a size is read and bounded, and whatever this
// encoder does not do is refused by name, so that a different model never gives wrong vectors.
//
// Threads: free functions and values, safe anywhere.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestor/status.h"

namespace nestor::embed {

// Attention of one layer.
enum class LayerKind { kLocal, kFull };

// One Dense module behind the pooling: (out, in), no bias, identity activation.
struct DenseConfig {
  std::string folder;  // inside the model's folder, such as "2_Dense"
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
};

// The texts in front of an input, one a role, as the model was trained with.
struct PromptConfig {
  std::string search_query;
  std::string document;  // holds "none" where a title goes
  std::string classification;
  std::string clustering;
  std::string sentence_similarity;
  std::string code_retrieval;
};

struct ModelConfig {
  std::int64_t vocabulary_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t head_count = 0;
  std::int64_t key_head_count =
      0;  // heads of keys and values; each serves head_count / this queries
  std::int64_t head_width = 0;
  std::int64_t feed_forward_size = 0;
  std::int64_t context_tokens = 0;
  // A token of a local layer sees those at most this far away, on both sides: half of
  // `sliding_window`. With bidirectional attention transformers halves the configured window (512
  // -> |q - k| <= 256).
  std::int64_t local_reach = 0;
  std::vector<LayerKind> layers;
  float norm_epsilon = 0;
  float score_scale = 0;  // query_pre_attn_scalar^-0.5
  double local_rotation_base = 0;
  double full_rotation_base = 0;
  int bos_id = 0;
  int eos_id = 0;
  std::vector<DenseConfig> dense;
  PromptConfig prompts;

  // Of the vector that comes out.
  [[nodiscard]] std::int64_t output_width() const {
    return dense.empty() ? hidden_size : dense.back().out_features;
  }
};

// Reads config.json, modules.json and what that one names, and config_sentence_transformers.json.
// Errors: kNotFound, kInvalidArgument (not JSON, a missing or absurd value; names file and field),
// kUnsupported (something this encoder does not do).
Result<ModelConfig> read_model_config(const std::string& folder);

// Parts of the above, for a model whose rest is described elsewhere (a GGUF): the Dense module in
// `folder`/`name`, which must take what `config` gives so far, is added to `config`; the prompts.
Status append_dense_config(const std::string& folder, const std::string& name, ModelConfig& config);
Result<PromptConfig> read_prompt_config(const std::string& folder);

}  // namespace nestor::embed
