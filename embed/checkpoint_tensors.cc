#include "embed/checkpoint_tensors.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/hash.h"
#include "core/macros.h"
#include "core/vector_math.h"
#include "embed/fingerprint.h"

namespace nestor::embed {
namespace {

constexpr std::uint64_t kMostTokenizerBytes = 64ULL << 20;

void append_layer(const ModelConfig& config, std::size_t index, std::vector<ExpectedTensor>& all) {
  const std::string prefix = fmt::format("layers.{}.", index);
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t query_width = config.head_count * config.head_width;
  const std::int64_t key_width = config.key_head_count * config.head_width;
  const std::int64_t inner = config.feed_forward_size;
  const auto norm = [&](const char* name, std::int64_t width) {
    all.push_back({prefix + name, {width}, true});
  };
  const auto matrix = [&](const char* name, std::int64_t rows, std::int64_t columns) {
    all.push_back({prefix + name, {rows, columns}});
  };
  norm("input_layernorm.weight", hidden);
  matrix("self_attn.q_proj.weight", query_width, hidden);
  matrix("self_attn.k_proj.weight", key_width, hidden);
  matrix("self_attn.v_proj.weight", key_width, hidden);
  norm("self_attn.q_norm.weight", config.head_width);
  norm("self_attn.k_norm.weight", config.head_width);
  matrix("self_attn.o_proj.weight", hidden, query_width);
  norm("post_attention_layernorm.weight", hidden);
  norm("pre_feedforward_layernorm.weight", hidden);
  matrix("mlp.gate_proj.weight", inner, hidden);
  matrix("mlp.up_proj.weight", inner, hidden);
  matrix("mlp.down_proj.weight", hidden, inner);
  norm("post_feedforward_layernorm.weight", hidden);
}

std::int64_t value_count(const std::vector<std::int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

}  // namespace

std::vector<ExpectedTensor> transformer_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> all;
  all.push_back({"embed_tokens.weight", {config.vocabulary_size, config.hidden_size}});
  for (std::size_t i = 0; i < config.layers.size(); ++i) append_layer(config, i, all);
  all.push_back({"norm.weight", {config.hidden_size}, true});
  return all;
}

std::vector<ExpectedTensor> dense_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> all;
  for (std::size_t i = 0; i < config.dense.size(); ++i) {
    all.push_back({fmt::format("dense.{}.weight", i),
                   {config.dense[i].out_features, config.dense[i].in_features}});
  }
  return all;
}

std::string main_format_name(const StoredTensors& tensors) {
  std::map<NumberFormat, std::int64_t> counts;
  for (const auto& [name, tensor] : tensors) counts[tensor.format] += value_count(tensor.shape);
  NumberFormat most = NumberFormat::kF32;
  for (const auto& [format, count] : counts) {
    if (count > counts[most]) most = format;
  }
  return number_format_name(most);
}

StoredCheckpoint::StoredCheckpoint(ModelConfig config, CheckpointIdentity identity,
                                   Vocabulary vocabulary, StoredTensors tensors)
    : config_(std::move(config)),
      identity_(std::move(identity)),
      vocabulary_(std::move(vocabulary)),
      tensors_(std::move(tensors)) {}

Status StoredCheckpoint::read(std::string_view tensor, std::int64_t first_row,
                              std::span<float> out) const {
  const auto at = tensors_.find(tensor);
  NESTOR_CHECK(at != tensors_.end(), "a tensor of the configuration");
  const StoredTensor& stored = at->second;
  const std::int64_t columns = stored.shape.back();
  const std::int64_t rows = value_count(stored.shape) / columns;
  const auto count = static_cast<std::int64_t>(out.size());
  NESTOR_CHECK(count % columns == 0 && first_row >= 0 && first_row <= rows - count / columns,
               "whole rows of the tensor");
  const std::uint64_t offset = stored.offset + stored_bytes(stored.format, first_row * columns);
  NESTOR_RETURN_IF_ERROR(read_floats(*stored.file, stored.format, offset, out));
  if (!all_finite(out)) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: tensor \"{}\" holds NaN or infinity in rows {} to {}; the file is "
                        "damaged, get the model again",
                        stored.file->path(), tensor, first_row, first_row + count / columns)};
  }
  if (stored.added != 0) {
    for (float& value : out) value += stored.added;
  }
  return {};
}

Status check_vocabulary(const Vocabulary& vocabulary, const ModelConfig& config,
                        const std::string& path) {
  const auto size = static_cast<std::int64_t>(vocabulary.pieces.size());
  if (size != config.vocabulary_size || vocabulary.bos_id != config.bos_id ||
      vocabulary.eos_id != config.eos_id) {
    return {StatusCode::kDataLoss,
            fmt::format("{}: {} pieces, BOS {}, EOS {}; the model calls for {}, {} and {}. It is "
                        "the tokenizer of another model.",
                        path, size, vocabulary.bos_id, vocabulary.eos_id, config.vocabulary_size,
                        config.bos_id, config.eos_id)};
  }
  return {};
}

Result<LoadedTokenizer> load_tokenizer_model(const std::string& path, const ModelConfig& config,
                                             bool allow_unverified) {
  NESTOR_ASSIGN_OR_RETURN(const std::string bytes, read_file(path, kMostTokenizerBytes));
  LoadedTokenizer loaded;
  loaded.sha256 = sha256_hex(bytes);
  if (!allow_unverified && loaded.sha256 != known_tokenizer_sha256()) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: its SHA-256 is {}, the known tokenizer has {}. If you trust "
                              "where it comes from, allow an unverified model.",
                              path, loaded.sha256, known_tokenizer_sha256()));
  }
  Result<Vocabulary> vocabulary = read_sentencepiece_model(bytes);
  if (!vocabulary.ok()) return vocabulary.status().with_context(path);
  loaded.vocabulary = std::move(vocabulary).value();
  NESTOR_RETURN_IF_ERROR(check_vocabulary(loaded.vocabulary, config, path));
  return loaded;
}

}  // namespace nestor::embed
