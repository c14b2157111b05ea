#include "embed/checkpoint_gguf.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "core/file.h"
#include "core/macros.h"
#include "core/text.h"
#include "embed/checkpoint_safetensors.h"
#include "embed/checkpoint_tensors.h"
#include "embed/fingerprint.h"
#include "embed/gguf.h"
#include "embed/gguf_config.h"
#include "embed/known_gguf.h"
#include "embed/safetensors.h"

namespace nestor::embed {
namespace {

constexpr std::array<const char*, 2> kDenseFolders = {"2_Dense", "3_Dense"};

// Source: llm_tensor_names in llama-arch.cpp; Ollama's converter writes the same.
struct NamePair {
  const char* ours;
  const char* theirs;
};
constexpr std::array<NamePair, 13> kLayerNames = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "post_attention_norm.weight"},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
}};
// The Dense modules: llama.cpp's names, and those of the blob Ollama serves.
constexpr std::array<std::array<const char*, 2>, 2> kDenseNames = {{
    {"dense_2.weight", "dense.0.weight"},
    {"dense_3.weight", "dense.1.weight"},
}};

std::string gguf_name(const std::string& name) {
  if (name == "embed_tokens.weight") return "token_embd.weight";
  if (name == "norm.weight") return "output_norm.weight";
  constexpr std::string_view kLayers = "layers.";
  const std::size_t dot = name.find('.', kLayers.size());
  const std::string_view rest = std::string_view(name).substr(dot + 1);
  for (const NamePair& pair : kLayerNames) {
    if (rest == pair.ours) {
      return fmt::format("blk.{}.{}", name.substr(kLayers.size(), dot - kLayers.size()),
                         pair.theirs);
    }
  }
  return name;
}

struct OpenedGguf {
  std::shared_ptr<const RandomAccessFile> file;
  GgufHeader header;
  ModelConfig config;
  StoredTensors tensors;
  bool has_dense = false;

  [[nodiscard]] const std::string& path() const { return file->path(); }

  // Moves a tensor from the header to `tensors`; norms hold 1 + weight already.
  Status take(const ExpectedTensor& expected, const std::string& name) {
    const auto at = header.tensors.find(name);
    if (at == header.tensors.end() || at->second.shape != expected.shape) {
      return {StatusCode::kDataLoss,
              fmt::format("{}: tensor \"{}\" is {}, the metadata call for {}", path(), name,
                          at == header.tensors.end() ? "missing" : shape_text(at->second.shape),
                          shape_text(expected.shape))};
    }
    tensors[expected.name] = {.file = file,
                              .format = at->second.format,
                              .shape = at->second.shape,
                              .offset = at->second.offset};
    header.tensors.erase(at);
    return {};
  }
};

// The Dense modules a GGUF holds itself, in either spelling; none is no error here.
Status take_own_dense(OpenedGguf& gguf) {
  std::array<std::string, 2> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (const char* name : kDenseNames[i]) {
      if (gguf.header.tensors.contains(name)) names[i] = name;
    }
  }
  if (names[0].empty() && names[1].empty()) return {};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto at = gguf.header.tensors.find(names[i]);
    if (at == gguf.header.tensors.end() || at->second.shape.size() != 2 ||
        at->second.shape[1] != gguf.config.output_width() || at->second.shape[0] < 1 ||
        at->second.shape[0] > 65'536) {
      return {
          StatusCode::kDataLoss,
          fmt::format("{}: the Dense module {} is {}, what stands before it gives {} values",
                      gguf.path(), kDenseNames[i][0],
                      at == gguf.header.tensors.end() ? "missing" : shape_text(at->second.shape),
                      gguf.config.output_width())};
    }
    gguf.config.dense.push_back({.folder = kDenseFolders[i],
                                 .in_features = at->second.shape[1],
                                 .out_features = at->second.shape[0]});
  }
  const std::vector<ExpectedTensor> expected = dense_tensors(gguf.config);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    NESTOR_RETURN_IF_ERROR(gguf.take(expected[i], names[i]));
  }
  gguf.has_dense = true;
  return {};
}

Status take_companion_dense(OpenedGguf& gguf, const std::string& folder) {
  if (folder.empty() || !is_folder(folder + "/" + kDenseFolders[0])) {
    return {StatusCode::kUnsupported,
            fmt::format("{}: it lacks the Dense modules (dense_2.weight and dense_3.weight, or "
                        "dense.0.weight and dense.1.weight), without which its vectors would be "
                        "wrong{}. Give the folder that holds 2_Dense and 3_Dense of its model with "
                        "--from FOLDER, or get a GGUF converted with "
                        "--sentence-transformers-dense-modules.",
                        gguf.path(),
                        folder.empty() ? std::string() : "; " + folder + " lacks them too")};
  }
  for (const char* name : kDenseFolders) {
    NESTOR_RETURN_IF_ERROR(append_dense_config(folder, name, gguf.config));
  }
  return add_dense_files(folder, gguf.config, gguf.tensors);
}

Result<OpenedGguf> open_gguf(const CheckpointOptions& options) {
  OpenedGguf gguf;
  NESTOR_ASSIGN_OR_RETURN(RandomAccessFile file, RandomAccessFile::open(options.path));
  gguf.file = std::make_shared<const RandomAccessFile>(std::move(file));
  NESTOR_ASSIGN_OR_RETURN(gguf.header, read_gguf_header(*gguf.file));
  NESTOR_ASSIGN_OR_RETURN(gguf.config, gguf_model_config(gguf.header, gguf.path()));
  for (const ExpectedTensor& expected : transformer_tensors(gguf.config)) {
    NESTOR_RETURN_IF_ERROR(gguf.take(expected, gguf_name(expected.name)));
  }
  NESTOR_RETURN_IF_ERROR(take_own_dense(gguf));
  if (!gguf.header.tensors.empty()) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: {} tensors an EmbeddingGemma does not have, {} among them",
                              gguf.path(), gguf.header.tensors.size(),
                              quote_for_message(gguf.header.tensors.begin()->first)));
  }
  if (!gguf.has_dense) {
    NESTOR_RETURN_IF_ERROR(take_companion_dense(gguf, options.companion_folder));
  }
  const std::string prompts = options.companion_folder + "/config_sentence_transformers.json";
  if (!options.companion_folder.empty() && is_regular_file(prompts)) {
    NESTOR_ASSIGN_OR_RETURN(gguf.config.prompts, read_prompt_config(options.companion_folder));
  }
  return gguf;
}

Result<LoadedTokenizer> choose_tokenizer(const OpenedGguf& gguf, const CheckpointOptions& options) {
  const std::string beside = options.companion_folder + "/tokenizer.model";
  if (!options.companion_folder.empty() && is_regular_file(beside)) {
    return load_tokenizer_model(beside, gguf.config, options.allow_unverified);
  }
  NESTOR_ASSIGN_OR_RETURN(Vocabulary stored,
                          gguf_vocabulary(gguf.header, gguf.config.vocabulary_size, gguf.path()));
  LoadedTokenizer chosen;
  chosen.vocabulary = restore_vocabulary(std::move(stored));
  chosen.sha256 = vocabulary_sha256(chosen.vocabulary);
  if (chosen.sha256 == known_vocabulary_sha256()) {
    chosen.sha256 = known_tokenizer_sha256();
  } else if (!options.allow_unverified) {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: its vocabulary is not that of EmbeddingGemma. Give the folder "
                              "with the tokenizer.model of its model with --from FOLDER, or allow "
                              "an unverified model if you trust where it comes from.",
                              gguf.path()));
  }
  return chosen;
}

std::string known_file_sha256(const std::string& path) {
  for (const KnownModelFile& file : known_model_files()) {
    if (path == file.path) return file.sha256;
  }
  return {};
}

// Whether the tensors the file holds are those of the base checkpoint.
Result<bool> holds_known_tensors(const OpenedGguf& gguf, const std::string& file_sha256) {
  if (is_known_gguf(file_sha256)) return true;
  NESTOR_ASSIGN_OR_RETURN(const std::string transformer,
                          tensors_sha256(transformer_tensors(gguf.config), gguf.tensors));
  if (!are_known_transformer_tensors(transformer) || !is_known_config(gguf.config)) return false;
  if (!gguf.has_dense) return true;
  NESTOR_ASSIGN_OR_RETURN(const std::string dense,
                          tensors_sha256(dense_tensors(gguf.config), gguf.tensors));
  return are_known_dense_tensors(dense);
}

// A known file counts as the files it was made from; any other is itself. Dense modules from the
// companion folder are known by their own files.
Result<SpaceParts> identify_gguf(const OpenedGguf& gguf, const std::string& file_sha256,
                                 const std::string& tokenizer_sha256,
                                 const std::string& companion_folder) {
  NESTOR_ASSIGN_OR_RETURN(const bool known, holds_known_tensors(gguf, file_sha256));
  SpaceParts parts;
  parts.config = &gguf.config;
  parts.tokenizer_sha256 = tokenizer_sha256;
  parts.weights_sha256 = known ? known_file_sha256("model.safetensors") : file_sha256;
  for (const DenseConfig& dense : gguf.config.dense) {
    const std::string name = dense.folder + "/model.safetensors";
    if (!gguf.has_dense) {
      NESTOR_ASSIGN_OR_RETURN(std::string sha256,
                              cached_sha256_of_file(companion_folder + "/" + name));
      parts.dense_sha256s.push_back(std::move(sha256));
    } else if (known) {
      parts.dense_sha256s.push_back(known_file_sha256(name));
    }
  }
  return parts;
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> open_gguf_checkpoint(const CheckpointOptions& options) {
  NESTOR_ASSIGN_OR_RETURN(OpenedGguf gguf, open_gguf(options));
  NESTOR_ASSIGN_OR_RETURN(LoadedTokenizer tokenizer, choose_tokenizer(gguf, options));
  NESTOR_RETURN_IF_ERROR(check_vocabulary(tokenizer.vocabulary, gguf.config, gguf.path()));
  NESTOR_ASSIGN_OR_RETURN(const std::string file_sha256, cached_sha256_of_file(options.path));
  NESTOR_ASSIGN_OR_RETURN(const SpaceParts parts, identify_gguf(gguf, file_sha256, tokenizer.sha256,
                                                                options.companion_folder));
  CheckpointIdentity identity{.name = model_name_of(parts),
                              .space = space_of(parts),
                              .weights_sha256 = file_sha256,
                              .tokenizer_sha256 = tokenizer.sha256,
                              .format = "GGUF " + main_format_name(gguf.tensors)};
  return std::unique_ptr<Checkpoint>(
      std::make_unique<StoredCheckpoint>(std::move(gguf.config), std::move(identity),
                                         std::move(tokenizer.vocabulary), std::move(gguf.tensors)));
}

}  // namespace nestor::embed
