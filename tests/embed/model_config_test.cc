#include "embed/model_config.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/embed/tiny_model.h"

namespace nestor::embed {
namespace {

using nlohmann::json;
using testing::TinyModelCopy;

// The tiny model with `field` of `file` set to `value` (discarded: taken away) is refused with this
// code, and the message names the file and the field.
void check_refused(const char* file, const char* field, const json& value, StatusCode code) {
  const TinyModelCopy model;
  model.edit_json(file, [&](json& config) {
    if (value.is_discarded()) {
      config.erase(field);
    } else {
      config[field] = value;
    }
  });
  const auto result = read_model_config(model.path());
  CAPTURE(field);
  REQUIRE_FALSE(result.ok());
  CAPTURE(result.status().message());
  CHECK(result.status().code() == code);
  CHECK(result.status().message().find(file) != std::string::npos);
  CHECK(result.status().message().find(field) != std::string::npos);
}

TEST_CASE("the genuine configuration reads as the design says") {
  const std::string folder = testing::genuine_model();
  if (folder.empty()) return testing::skip("the genuine model is not in place");
  const auto result = read_model_config(folder);
  REQUIRE_MESSAGE(result.ok(), result.status().to_string());
  const ModelConfig& config = result.value();
  CHECK(config.hidden_size == 768);
  CHECK(config.layers.size() == 24);
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    CHECK((config.layers[i] == LayerKind::kFull) == (i % 6 == 5));
  }
  CHECK(config.local_reach == 256);
  CHECK(config.context_tokens == 2048);
  CHECK(config.score_scale == 1.0F / 16);
  CHECK(config.dense.size() == 2);
  CHECK(config.dense.front().out_features == 3072);
  CHECK(config.output_width() == 768);
}

TEST_CASE("layers come from the pattern where no list is given") {
  const TinyModelCopy model;
  const auto listed = read_model_config(model.path());
  REQUIRE(listed.ok());
  for (const char* name : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    model.edit_json("config.json", [&](json& config) {
      config.erase("layer_types");
      config.erase("sliding_window_pattern");
      config[name] = 6;
    });
    const auto patterned = read_model_config(model.path());
    REQUIRE_MESSAGE(patterned.ok(), patterned.status().to_string());
    CHECK(patterned.value().layers == listed.value().layers);
  }
  CHECK(std::count(listed.value().layers.begin(), listed.value().layers.end(), LayerKind::kFull) ==
        1);
}

TEST_CASE("what this encoder does not do is refused by name") {
  const auto unsupported = StatusCode::kUnsupported;
  check_refused("config.json", "model_type", "llama", unsupported);
  check_refused("config.json", "hidden_activation", "gelu", unsupported);
  check_refused("config.json", "attention_bias", true, unsupported);
  check_refused("config.json", "use_bidirectional_attention", false, unsupported);
  check_refused("config.json", "attn_logit_softcapping", 50.0, unsupported);
  check_refused("config.json", "rope_scaling", {{"factor", 8.0}}, unsupported);
  check_refused("config.json", "layer_types", json::array({"a", "b", "c", "d", "e", "f"}),
                unsupported);
  check_refused("1_Pooling/config.json", "pooling_mode_cls_token", true, unsupported);
  check_refused("1_Pooling/config.json", "pooling_mode_mean_tokens", false, unsupported);
  check_refused("1_Pooling/config.json", "include_prompt", false, unsupported);
  check_refused("2_Dense/config.json", "bias", true, unsupported);
  check_refused("3_Dense/config.json", "activation_function", "torch.nn.modules.activation.Tanh",
                unsupported);
}

TEST_CASE("absurd and missing sizes are refused by name") {
  const auto invalid = StatusCode::kInvalidArgument;
  const json missing(json::value_t::discarded);
  for (const char* field :
       {"vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
        "intermediate_size", "max_position_embeddings", "sliding_window", "num_hidden_layers"}) {
    for (const json& value : {json(0), json(-1), json(1e3), json("32"), json(1LL << 40),
                              json(18446744073709551615ULL), json(nullptr), missing}) {
      check_refused("config.json", field, value, invalid);
    }
  }
  check_refused("config.json", "rms_norm_eps", 0, invalid);
  check_refused("config.json", "rope_theta", -1, invalid);
  check_refused("config.json", "query_pre_attn_scalar", 0, invalid);
  check_refused("config.json", "head_dim", 15, invalid);
  check_refused("config.json", "num_key_value_heads", 2, invalid);
  check_refused("config.json", "layer_types", json::array({"full_attention"}), invalid);
  check_refused("2_Dense/config.json", "in_features", 33, invalid);
  check_refused("1_Pooling/config.json", "word_embedding_dimension", 33, invalid);
  check_refused("config_sentence_transformers.json", "prompts", json::object(), invalid);
}

TEST_CASE("a module outside the folder, or of another kind, is refused") {
  for (const char* path : {"../2_Dense", "/etc", "a/b", "", ".", ".."}) {
    const TinyModelCopy model;
    model.edit_json("modules.json", [&](json& modules) { modules[2]["path"] = path; });
    const auto result = read_model_config(model.path());
    CAPTURE(path);
    REQUIRE_FALSE(result.ok());
    CHECK(result.status().code() == StatusCode::kUnsupported);
  }
  const TinyModelCopy model;
  model.edit_json("modules.json", [](json& modules) {
    modules[2]["type"] = "sentence_transformers.models.LayerNorm";
  });
  const auto result = read_model_config(model.path());
  REQUIRE_FALSE(result.ok());
  CHECK(result.status().message().find("LayerNorm") != std::string::npos);
}

TEST_CASE("files that are no JSON, or too large, are refused") {
  for (const char* file : {"config.json", "modules.json", "1_Pooling/config.json",
                           "2_Dense/config.json", "config_sentence_transformers.json"}) {
    const TinyModelCopy model;
    CAPTURE(file);
    for (const std::string& bytes : {std::string(), std::string("{"), std::string("[]"),
                                     std::string(2 << 20, ' '), std::string("{\"a\":1,\"a\":1}")}) {
      testing::write_bytes(model / file, bytes);
      CHECK_FALSE(read_model_config(model.path()).ok());
    }
    std::filesystem::remove(model / file);
    const auto missing = read_model_config(model.path());
    REQUIRE_FALSE(missing.ok());
    CHECK(missing.status().code() == StatusCode::kNotFound);
  }
}

}  // namespace
}  // namespace nestor::embed
