#include "embed/packed_config.h"

#include <fmt/format.h>

#include "core/json.h"
#include "core/json_writer.h"
#include "core/macros.h"

namespace nestor::embed {
namespace {

using json = JsonValue;

constexpr std::size_t kMostText = 4096;

// Fields of one object; the first failure sticks.
class Fields {
 public:
  explicit Fields(const json& root) : root_(root) {}
  [[nodiscard]] const Status& status() const { return status_; }

  void whole(const char* name, std::int64_t least, std::int64_t most, std::int64_t& value) {
    const json* found = find(name);
    if (found == nullptr || !found->is_whole_between(least, most)) {
      fail(name, fmt::format("is no whole number from {} to {}", least, most));
      return;
    }
    value = found->get<std::int64_t>();
  }
  void number(const char* name, double least, double most, double& value) {
    const json* found = find(name);
    if (found == nullptr || !found->is_number() || !(found->get<double>() >= least) ||
        !(found->get<double>() <= most)) {
      fail(name, fmt::format("is no number from {} to {}", least, most));
      return;
    }
    value = found->get<double>();
  }
  void text(const char* name, std::string& value) {
    const json* found = find(name);
    if (found == nullptr || !found->is_string() || found->text().size() > kMostText) {
      fail(name, "is no text of a sensible length");
      return;
    }
    value = found->get<std::string>();
  }
  const json* find(const char* name) const { return root_.find(name); }
  void fail(std::string_view name, std::string_view problem) {
    if (status_.ok()) {
      status_ =
          Status(StatusCode::kDataLoss, fmt::format("its configuration: \"{}\" {}", name, problem));
    }
  }

 private:
  const json& root_;
  Status status_;
};

void read_layers(Fields& fields, ModelConfig& model) {
  const json* layers = fields.find("layers");
  if (layers == nullptr || !layers->is_string()) {
    fields.fail("layers", "is no text");
    return;
  }
  const auto& kinds = layers->text();
  if (kinds.empty() || kinds.size() > 256 || kinds.find_first_not_of("lf") != std::string::npos) {
    fields.fail("layers", "is not 1 to 256 letters l (local) and f (full)");
    return;
  }
  for (const char kind : kinds) {
    model.layers.push_back(kind == 'l' ? LayerKind::kLocal : LayerKind::kFull);
  }
}

void read_sizes(Fields& fields, ModelConfig& model) {
  fields.whole("vocabulary_size", 1, 1 << 24, model.vocabulary_size);
  fields.whole("hidden_size", 1, 1 << 16, model.hidden_size);
  fields.whole("head_count", 1, 1024, model.head_count);
  fields.whole("key_head_count", 1, 1024, model.key_head_count);
  fields.whole("head_width", 2, 1 << 14, model.head_width);
  fields.whole("feed_forward_size", 1, 1 << 18, model.feed_forward_size);
  fields.whole("context_tokens", 2, 1 << 20, model.context_tokens);
  fields.whole("local_reach", 1, 1 << 20, model.local_reach);
  std::int64_t id = 0;
  fields.whole("bos_id", 0, 1 << 24, id);
  model.bos_id = static_cast<int>(id);
  fields.whole("eos_id", 0, 1 << 24, id);
  model.eos_id = static_cast<int>(id);
  double value = 0;
  fields.number("norm_epsilon", 0, 1, value);
  model.norm_epsilon = static_cast<float>(value);
  fields.number("score_scale", 1e-6, 1e6, value);
  model.score_scale = static_cast<float>(value);
  fields.number("local_rotation_base", 1, 1e12, model.local_rotation_base);
  fields.number("full_rotation_base", 1, 1e12, model.full_rotation_base);
}

void read_dense(Fields& fields, ModelConfig& model) {
  const json* dense = fields.find("dense");
  if (dense == nullptr || !dense->is_array() || dense->size() > 16) {
    fields.fail("dense", "is no list of at most 16 modules");
    return;
  }
  std::int64_t width = model.hidden_size;
  for (const json& module : dense->elements()) {
    Fields inner(module);
    DenseConfig& to = model.dense.emplace_back();
    inner.whole("in", 1, 1 << 16, to.in_features);
    inner.whole("out", 1, 1 << 16, to.out_features);
    if (!inner.status().ok() || to.in_features != width) {
      fields.fail("dense", "does not fit together");
      return;
    }
    width = to.out_features;
  }
}

void read_prompts(Fields& fields, PromptConfig& prompts) {
  fields.text("prompt_search_query", prompts.search_query);
  fields.text("prompt_document", prompts.document);
  fields.text("prompt_classification", prompts.classification);
  fields.text("prompt_clustering", prompts.clustering);
  fields.text("prompt_sentence_similarity", prompts.sentence_similarity);
  fields.text("prompt_code_retrieval", prompts.code_retrieval);
}

}  // namespace

std::string encode_packed_config(const ModelConfig& model, const CheckpointIdentity& identity) {
  JsonWriter root(JsonWriter::IllFormed::kRefuse, /*indent=*/1);
  root.begin_object();
  root.member("name", identity.name);
  root.member("space", identity.space);
  root.member("weights_sha256", identity.weights_sha256);
  root.member("tokenizer_sha256", identity.tokenizer_sha256);
  root.member("packed_from", identity.format);
  root.member("vocabulary_size", model.vocabulary_size);
  root.member("hidden_size", model.hidden_size);
  root.member("head_count", model.head_count);
  root.member("key_head_count", model.key_head_count);
  root.member("head_width", model.head_width);
  root.member("feed_forward_size", model.feed_forward_size);
  root.member("context_tokens", model.context_tokens);
  root.member("local_reach", model.local_reach);
  std::string kinds;
  for (const LayerKind kind : model.layers) kinds += kind == LayerKind::kLocal ? 'l' : 'f';
  root.member("layers", kinds);
  root.member("norm_epsilon", static_cast<double>(model.norm_epsilon));
  root.member("score_scale", static_cast<double>(model.score_scale));
  root.member("local_rotation_base", model.local_rotation_base);
  root.member("full_rotation_base", model.full_rotation_base);
  root.member("bos_id", model.bos_id);
  root.member("eos_id", model.eos_id);
  root.key("dense");
  root.begin_array();
  for (const DenseConfig& dense : model.dense) {
    root.begin_object();
    root.member("in", dense.in_features);
    root.member("out", dense.out_features);
    root.end_object();
  }
  root.end_array();
  root.member("prompt_search_query", model.prompts.search_query);
  root.member("prompt_document", model.prompts.document);
  root.member("prompt_classification", model.prompts.classification);
  root.member("prompt_clustering", model.prompts.clustering);
  root.member("prompt_sentence_similarity", model.prompts.sentence_similarity);
  root.member("prompt_code_retrieval", model.prompts.code_retrieval);
  root.end_object();
  return root.take() + "\n";
}

Result<PackedConfig> decode_packed_config(std::string_view text) {
  const Result<json> parsed = parse_json(text, {.most_depth = 8, .most_values = 4096});
  if (!parsed.ok()) {
    return Status(StatusCode::kDataLoss, "its configuration: " + parsed.status().message());
  }
  Fields fields(parsed.value());
  PackedConfig result;
  fields.text("name", result.identity.name);
  fields.text("space", result.identity.space);
  fields.text("weights_sha256", result.identity.weights_sha256);
  fields.text("tokenizer_sha256", result.identity.tokenizer_sha256);
  fields.text("packed_from", result.identity.format);
  read_sizes(fields, result.model);
  read_layers(fields, result.model);
  read_dense(fields, result.model);
  read_prompts(fields, result.model.prompts);
  const ModelConfig& model = result.model;
  if (model.head_width % 2 != 0) fields.fail("head_width", "is odd");
  if (fields.status().ok() && model.head_count % model.key_head_count != 0) {
    fields.fail("head_count", "is no multiple of key_head_count");
  }
  if (model.bos_id >= model.vocabulary_size || model.eos_id >= model.vocabulary_size) {
    fields.fail("bos_id", "or eos_id is outside of the vocabulary");
  }
  NESTOR_RETURN_IF_ERROR(fields.status());
  return result;
}

}  // namespace nestor::embed
