#include "embed/model_config.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "core/file.h"
#include "core/json.h"
#include "core/macros.h"
#include "core/text.h"

namespace nestor::embed {
namespace {

using json = JsonValue;

constexpr std::uint64_t kMostConfigBytes = 1ULL << 20;
constexpr std::size_t kMostModules = 16;
constexpr std::size_t kMostPromptBytes = 1024;

// One JSON file of the model. The first failure sticks, so that a dozen fields can be read in a row
// and status() asked once.
class ConfigFile {
 public:
  static Result<ConfigFile> read(const std::string& path) {
    NESTOR_ASSIGN_OR_RETURN(const std::string text, read_file(path, kMostConfigBytes));
    Result<json> parsed = parse_json(text);
    if (!parsed.ok()) return parsed.status().with_context(path);
    return ConfigFile(path, std::move(parsed).value());
  }

  [[nodiscard]] const json& root() const { return root_; }
  [[nodiscard]] const Status& status() const { return status_; }

  std::int64_t whole(const char* name, std::int64_t least, std::int64_t most) {
    const json* value = find(name);
    if (value == nullptr) {
      fail(StatusCode::kInvalidArgument, name, "is missing");
    } else if (!value->is_whole_between(least, most)) {
      fail(StatusCode::kInvalidArgument, name,
           fmt::format("is {}, expected a whole number from {} to {}", shown(*value), least, most));
    } else {
      return value->get<std::int64_t>();
    }
    return least;
  }

  double number(const char* name, double least, double most) {
    const json* value = find(name);
    if (value == nullptr) {
      fail(StatusCode::kInvalidArgument, name, "is missing");
    } else if (!value->is_number() || !(value->get<double>() >= least) ||
               !(value->get<double>() <= most)) {
      fail(StatusCode::kInvalidArgument, name,
           fmt::format("is {}, expected a number from {} to {}", shown(*value), least, most));
    } else {
      return value->get<double>();
    }
    return least;
  }

  std::string text(const char* name) {
    const json* value = find(name);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    fail(StatusCode::kInvalidArgument, name, value == nullptr ? "is missing" : "is no string");
    return {};
  }

  // The one value of `name` this encoder does; `absent_is_fine` where the format's default is that
  // value.
  void require(const char* name, const json& expected, bool absent_is_fine = false) {
    const json* value = find(name);
    if (value == nullptr && absent_is_fine) return;
    if (value == nullptr) {
      fail(StatusCode::kInvalidArgument, name, "is missing");
    } else if (*value != expected) {
      fail(StatusCode::kUnsupported, name,
           fmt::format("is {}; this version does {} only", shown(*value), expected.dump()));
    }
  }

  const json* find(const char* name) const { return root_.find(name); }

  void fail(StatusCode code, std::string_view name, std::string_view problem) {
    if (status_.ok()) status_ = Status(code, fmt::format("{}: \"{}\" {}", path_, name, problem));
  }

  static std::string shown(const json& value) { return quote_for_message(value.dump()); }

 private:
  ConfigFile(std::string path, json root) : path_(std::move(path)), root_(std::move(root)) {}
  std::string path_;
  json root_;
  Status status_;
};

void refuse_other_architectures(ConfigFile& file) {
  file.require("model_type", "gemma3_text");
  file.require("hidden_activation", "gelu_pytorch_tanh");
  file.require("attention_bias", false);
  file.require("use_bidirectional_attention", true);
  file.require("attn_logit_softcapping", nullptr, true);
  file.require("rope_scaling", nullptr, true);
}

// `layer_types` where it stands; otherwise every n-th layer is a full one, n =
// sliding_window_pattern.
void read_layers(ConfigFile& file, ModelConfig& config) {
  const auto count = static_cast<std::size_t>(file.whole("num_hidden_layers", 1, 256));
  const json* types = file.find("layer_types");
  if (types == nullptr) {
    const char* name = file.find("sliding_window_pattern") != nullptr ? "sliding_window_pattern"
                                                                      : "_sliding_window_pattern";
    const auto pattern = static_cast<std::size_t>(file.whole(name, 1, 256));
    for (std::size_t i = 0; i < count; ++i) {
      config.layers.push_back((i + 1) % pattern == 0 ? LayerKind::kFull : LayerKind::kLocal);
    }
    return;
  }
  if (!types->is_array() || types->size() != count) {
    file.fail(StatusCode::kInvalidArgument, "layer_types",
              fmt::format("is no list of num_hidden_layers = {} names", count));
    return;
  }
  for (const json& type : types->elements()) {
    if (type != "sliding_attention" && type != "full_attention") {
      file.fail(StatusCode::kUnsupported, "layer_types",
                "names " + ConfigFile::shown(type) +
                    "; this version does sliding_attention and full_attention only");
    }
    config.layers.push_back(type == "full_attention" ? LayerKind::kFull : LayerKind::kLocal);
  }
}

Status read_transformer(const std::string& folder, ModelConfig& config) {
  NESTOR_ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::read(folder + "/config.json"));
  refuse_other_architectures(file);
  config.vocabulary_size = file.whole("vocab_size", 4, 1 << 22);
  config.hidden_size = file.whole("hidden_size", 1, 16'384);
  config.head_count = file.whole("num_attention_heads", 1, 256);
  config.key_head_count = file.whole("num_key_value_heads", 1, 256);
  config.head_width = file.whole("head_dim", 2, 1024);
  config.feed_forward_size = file.whole("intermediate_size", 1, 65'536);
  config.context_tokens = file.whole("max_position_embeddings", 2, 32'768);
  config.local_reach = file.whole("sliding_window", 2, 1 << 20) / 2;
  config.norm_epsilon = static_cast<float>(file.number("rms_norm_eps", 1e-12, 1e-2));
  config.score_scale =
      static_cast<float>(1.0 / std::sqrt(file.number("query_pre_attn_scalar", 1e-3, 1e6)));
  config.local_rotation_base = file.number("rope_local_base_freq", 1.0, 1e9);
  config.full_rotation_base = file.number("rope_theta", 1.0, 1e9);
  config.bos_id = static_cast<int>(file.whole("bos_token_id", 0, (1 << 22) - 1));
  config.eos_id = static_cast<int>(file.whole("eos_token_id", 0, (1 << 22) - 1));
  read_layers(file, config);
  if (config.head_count % config.key_head_count != 0) {
    file.fail(StatusCode::kInvalidArgument, "num_key_value_heads",
              fmt::format("is {}, which does not divide the {} query heads", config.key_head_count,
                          config.head_count));
  }
  if (config.head_width % 2 != 0) {
    file.fail(StatusCode::kInvalidArgument, "head_dim",
              fmt::format("is {}; the rotation needs an even one", config.head_width));
  }
  if (config.bos_id >= config.vocabulary_size || config.eos_id >= config.vocabulary_size) {
    file.fail(StatusCode::kInvalidArgument, "vocab_size", "is not above bos and eos");
  }
  return file.status();
}

Status check_pooling(const std::string& folder, const ModelConfig& config) {
  NESTOR_ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::read(folder + "/config.json"));
  const std::int64_t width = file.whole("word_embedding_dimension", 1, 16'384);
  if (width != config.hidden_size) {
    file.fail(StatusCode::kInvalidArgument, "word_embedding_dimension",
              fmt::format("is {}, the transformer's width is {}", width, config.hidden_size));
  }
  file.require("pooling_mode_mean_tokens", true);
  file.require("include_prompt", true, true);
  for (const char* other :
       {"pooling_mode_cls_token", "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"}) {
    file.require(other, false, true);
  }
  return file.status();
}

Status read_dense(const std::string& folder, const std::string& name, ModelConfig& config) {
  NESTOR_ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::read(folder + "/" + name + "/config.json"));
  DenseConfig dense{.folder = name};
  dense.in_features = file.whole("in_features", 1, 65'536);
  dense.out_features = file.whole("out_features", 1, 65'536);
  file.require("bias", false);
  file.require("activation_function", "torch.nn.modules.linear.Identity");
  if (dense.in_features != config.output_width()) {
    file.fail(StatusCode::kInvalidArgument, "in_features",
              fmt::format("is {}, the module before it gives {}", dense.in_features,
                          config.output_width()));
  }
  config.dense.push_back(std::move(dense));
  return file.status();
}

// A module's folder is one plain name: nothing outside the model's folder is read on its word.
bool is_plain_name(const std::string& path) {
  return !path.empty() && path.size() <= 64 && path.front() != '.' &&
         path.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

// The pipeline must be Transformer, Pooling, any number of Dense, Normalize.
Status read_modules(const std::string& folder, ModelConfig& config) {
  NESTOR_ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::read(folder + "/modules.json"));
  const json& modules = file.root();
  if (!modules.is_array() || modules.size() < 3 || modules.size() > kMostModules) {
    return {StatusCode::kInvalidArgument,
            folder + "/modules.json: expected a list of 3 to 16 modules"};
  }
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const json* const kind = modules.elements()[i].find("type");
    const json* const place = modules.elements()[i].find("path");
    if (kind == nullptr || !kind->is_string() || place == nullptr || !place->is_string()) {
      return {StatusCode::kInvalidArgument,
              fmt::format("{}/modules.json: module {} has no type and path", folder, i)};
    }
    const std::string& path = place->text();
    std::string expected = "Dense";
    if (i == 0) expected = "Transformer";
    if (i == 1) expected = "Pooling";
    if (i + 1 == modules.size()) expected = "Normalize";
    const std::string type = "sentence_transformers.models." + expected;
    if (kind->text() != type || (i == 0 ? !path.empty() : !is_plain_name(path))) {
      return {StatusCode::kUnsupported,
              fmt::format("{}/modules.json: module {} is {} at {}, this version does {} there",
                          folder, i, ConfigFile::shown(*kind), ConfigFile::shown(*place), type)};
    }
    if (i == 1) NESTOR_RETURN_IF_ERROR(check_pooling(folder + "/" + path, config));
    if (expected == "Dense") NESTOR_RETURN_IF_ERROR(read_dense(folder, path, config));
  }
  return {};
}

Status read_prompts(const std::string& folder, PromptConfig& prompts) {
  const std::string path = folder + "/config_sentence_transformers.json";
  NESTOR_ASSIGN_OR_RETURN(ConfigFile file, ConfigFile::read(path));
  const json* table = file.find("prompts");
  const auto prompt = [&](const char* name) -> std::string {
    const json* const held = table == nullptr ? nullptr : table->find(name);
    if (held == nullptr || !held->is_string()) {
      file.fail(StatusCode::kInvalidArgument, name, "is missing among the prompts");
      return {};
    }
    const std::string& text = held->text();
    if (text.size() > kMostPromptBytes) {
      file.fail(StatusCode::kInvalidArgument, name,
                fmt::format("is a prompt of {} bytes, at most {} are used", text.size(),
                            kMostPromptBytes));
    }
    return text;
  };
  prompts.search_query = prompt("query");
  prompts.document = prompt("document");
  prompts.classification = prompt("Classification");
  prompts.clustering = prompt("Clustering");
  prompts.sentence_similarity = prompt("STS");
  prompts.code_retrieval = prompt("InstructionRetrieval");
  return file.status();
}

}  // namespace

Status append_dense_config(const std::string& folder, const std::string& name,
                           ModelConfig& config) {
  return read_dense(folder, name, config);
}

Result<PromptConfig> read_prompt_config(const std::string& folder) {
  PromptConfig prompts;
  NESTOR_RETURN_IF_ERROR(read_prompts(folder, prompts));
  return prompts;
}

Result<ModelConfig> read_model_config(const std::string& folder) {
  ModelConfig config;
  NESTOR_RETURN_IF_ERROR(read_transformer(folder, config));
  NESTOR_RETURN_IF_ERROR(read_modules(folder, config));
  NESTOR_RETURN_IF_ERROR(read_prompts(folder, config.prompts));
  return config;
}

}  // namespace nestor::embed
