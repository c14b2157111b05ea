#include "embed/gguf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

#include "core/macros.h"
#include "core/text.h"
#include "embed/fingerprint.h"

namespace nestor::embed {
namespace {

// Fields of one architecture. The first failure sticks, so that a dozen can be read in a row.
class Fields {
 public:
  Fields(const GgufHeader& header, std::string architecture, const std::string& path)
      : header_(header), prefix_(std::move(architecture) + "."), path_(path) {}

  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] const GgufValue* find(const std::string& name) const {
    return header_.find(prefix_ + name);
  }

  std::int64_t whole(const std::string& name, std::int64_t least, std::int64_t most) {
    const GgufValue* value = find(name);
    if (value == nullptr) return fail(name, "is missing"), least;
    const std::optional<std::int64_t> number = as_whole(*value);
    if (!number.has_value() || *number < least || *number > most) {
      return fail(name, fmt::format("is {}, expected a whole number from {} to {}", shown(*value),
                                    least, most)),
             least;
    }
    return *number;
  }
  std::int64_t whole_or(const std::string& name, std::int64_t otherwise, std::int64_t least,
                        std::int64_t most) {
    return find(name) == nullptr ? otherwise : whole(name, least, most);
  }

  double number(const std::string& name, double least, double most) {
    const GgufValue* value = find(name);
    if (value == nullptr) return fail(name, "is missing"), least;
    const double* number = std::get_if<double>(value);
    if (number == nullptr || !(*number >= least) || !(*number <= most)) {
      return fail(name, fmt::format("is {}, expected a number from {} to {}", shown(*value), least,
                                    most)),
             least;
    }
    return *number;
  }
  double number_or(const std::string& name, double otherwise, double least, double most) {
    return find(name) == nullptr ? otherwise : number(name, least, most);
  }

  void fail(const std::string& name, const std::string& problem,
            StatusCode code = StatusCode::kDataLoss) {
    if (status_.ok()) {
      status_ = Status(code, fmt::format("{}: \"{}{}\" {}", path_, prefix_, name, problem));
    }
  }
  void unsupported(const std::string& name, const std::string& problem) {
    fail(name, problem, StatusCode::kUnsupported);
  }

  static std::optional<std::int64_t> as_whole(const GgufValue& value) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
    const auto* number = std::get_if<std::uint64_t>(&value);
    if (number == nullptr || *number > INT64_MAX) return std::nullopt;
    return static_cast<std::int64_t>(*number);
  }

  static std::string shown(const GgufValue& value) {
    if (const auto* text = std::get_if<std::string>(&value)) return quote_for_message(*text);
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
    const std::optional<std::int64_t> number = as_whole(value);
    return number.has_value() ? fmt::format("{}", *number) : "a list or out of range";
  }

 private:
  const GgufHeader& header_;
  const std::string prefix_;
  const std::string& path_;
  Status status_;
};

// What this encoder does not do. Source of the numbers: enum llama_pooling_type in llama.h.
void refuse_other_models(Fields& fields, bool pooling_required) {
  constexpr std::int64_t kMeanPooling = 1;
  if (pooling_required || fields.find("pooling_type") != nullptr) {
    const std::int64_t pooling = fields.whole("pooling_type", 0, 16);
    if (pooling != kMeanPooling) {
      fields.unsupported("pooling_type",
                         fmt::format("is {}; this version does 1 (mean) only", pooling));
    }
  }
  const GgufValue* causal = fields.find("attention.causal");
  if (causal != nullptr && *causal != GgufValue(false)) {
    fields.unsupported("attention.causal", "is not false; this version sees both sides only");
  }
  if (fields.number_or("attn_logit_softcapping", 0, 0, 1e9) != 0) {
    fields.unsupported("attn_logit_softcapping", "is not 0");
  }
  const GgufValue* scaling = fields.find("rope.scaling.type");
  if (scaling != nullptr && *scaling != GgufValue(std::string("none"))) {
    fields.unsupported("rope.scaling.type",
                       "is " + Fields::shown(*scaling) + "; this version does none only");
  }
}

// A period (every n-th layer is a full one), a list (true: a local one), or llama.cpp's default 6.
void read_layers(Fields& fields, ModelConfig& config) {
  const std::string name = "attention.sliding_window_pattern";
  const auto count = static_cast<std::size_t>(fields.whole("block_count", 1, 256));
  const GgufValue* pattern = fields.find(name);
  if (pattern != nullptr && std::holds_alternative<std::vector<std::int64_t>>(*pattern)) {
    const auto& list = std::get<std::vector<std::int64_t>>(*pattern);
    if (list.size() != count) {
      return fields.fail(name, fmt::format("lists {} layers of {}", list.size(), count));
    }
    for (const std::int64_t local : list) {
      config.layers.push_back(local != 0 ? LayerKind::kLocal : LayerKind::kFull);
    }
    return;
  }
  const auto period = static_cast<std::size_t>(fields.whole_or(name, 6, 1, 256));
  for (std::size_t i = 0; i < count; ++i) {
    config.layers.push_back((i + 1) % period == 0 ? LayerKind::kFull : LayerKind::kLocal);
  }
}

int token_id(const GgufHeader& header, const char* key, int otherwise, std::int64_t size,
             Status& status) {
  const GgufValue* value = header.find(key);
  if (value == nullptr) return otherwise;
  const std::optional<std::int64_t> id = Fields::as_whole(*value);
  if (id.has_value() && *id >= 0 && *id < size) return static_cast<int>(*id);
  if (status.ok()) {
    status = Status(StatusCode::kDataLoss, fmt::format("\"{}\" is {}, expected an id below {}", key,
                                                       Fields::shown(*value), size));
  }
  return otherwise;
}

// Ids of the known vocabulary where a kind or a rule of its scores ends.
constexpr std::size_t kKnownSize = 262'144;
constexpr std::size_t kKnownUnknown = 3;
constexpr std::size_t kKnownBytes = 238;
constexpr std::size_t kKnownNormal = 494;
constexpr std::size_t kKnownSecondRanks = 236'743;
constexpr std::size_t kKnownAdded = 255'968;

PieceKind known_kind(std::size_t id) {
  if (id < kKnownUnknown) return PieceKind::kControl;
  if (id == kKnownUnknown) return PieceKind::kUnknown;
  if (id < kKnownBytes || id >= kKnownAdded) return PieceKind::kUserDefined;
  return id < kKnownNormal ? PieceKind::kByte : PieceKind::kNormal;
}

float known_score(std::size_t id) {
  if (known_kind(id) != PieceKind::kNormal) return 0;
  const double first = id < kKnownSecondRanks ? 494 : 463;
  return static_cast<float>(first - static_cast<double>(id));
}

void spell_spaces(std::string& text) {
  constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581
  for (std::size_t at = text.find(' '); at != std::string::npos; at = text.find(' ', at)) {
    text.replace(at, 1, kSpace);
  }
}

}  // namespace

PromptConfig known_prompts() {
  return {.search_query = "task: search result | query: ",
          .document = "title: none | text: ",
          .classification = "task: classification | query: ",
          .clustering = "task: clustering | query: ",
          .sentence_similarity = "task: sentence similarity | query: ",
          .code_retrieval = "task: code retrieval | query: "};
}

Result<ModelConfig> gguf_model_config(const GgufHeader& header, const std::string& path) {
  const std::string* architecture = header.text("general.architecture");
  const bool is_ollama = architecture != nullptr && *architecture == "gemma3" &&
                         header.find("gemma3.pooling_type") != nullptr;
  if (architecture == nullptr || (*architecture != "gemma-embedding" && !is_ollama)) {
    return Status(
        StatusCode::kUnsupported,
        fmt::format("{}: the architecture is {}; this version reads EmbeddingGemma "
                    "(gemma-embedding, or gemma3 with a pooling type)",
                    path,
                    architecture == nullptr ? "not named" : quote_for_message(*architecture)));
  }
  Fields fields(header, *architecture, path);
  refuse_other_models(fields, is_ollama);
  const auto table = header.tensors.find("token_embd.weight");
  if (table == header.tensors.end() || table->second.shape.size() != 2) {
    return Status(StatusCode::kDataLoss, path + ": the table token_embd.weight is missing");
  }
  ModelConfig config;
  config.prompts = known_prompts();
  config.vocabulary_size = table->second.shape[0];
  config.hidden_size = fields.whole("embedding_length", 1, 16'384);
  config.head_count = fields.whole("attention.head_count", 1, 256);
  config.key_head_count = fields.whole("attention.head_count_kv", 1, 256);
  config.head_width = fields.whole("attention.key_length", 2, 1024);
  config.feed_forward_size = fields.whole("feed_forward_length", 1, 65'536);
  config.context_tokens = fields.whole("context_length", 2, 32'768);
  // Both converters write the 512 of config.json, which llama.cpp halves
  // (LLAMA_SWA_TYPE_SYMMETRIC).
  config.local_reach = fields.whole("attention.sliding_window", 2, 1 << 20) / 2;
  config.norm_epsilon =
      static_cast<float>(fields.number("attention.layer_norm_rms_epsilon", 1e-12, 1e-2));
  // No key says query_pre_attn_scalar; llama.cpp takes the head's width too.
  config.score_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_width)));
  config.full_rotation_base = fields.number("rope.freq_base", 1.0, 1e9);
  config.local_rotation_base =
      fields.number_or(is_ollama ? "rope.local.freq_base" : "rope.freq_base_swa", 1e4, 1.0, 1e9);
  read_layers(fields, config);
  if (fields.whole_or("attention.value_length", config.head_width, 1, 1024) != config.head_width) {
    fields.unsupported("attention.value_length", "is not attention.key_length");
  }
  if (config.vocabulary_size < 4 || config.vocabulary_size > 1 << 22) {
    fields.fail("vocab_size",
                fmt::format("is {}, expected 4 to {}", config.vocabulary_size, 1 << 22));
  }
  if (config.head_count % config.key_head_count != 0) {
    fields.fail("attention.head_count_kv", "does not divide the query heads");
  }
  if (config.head_width % 2 != 0) fields.fail("attention.key_length", "is odd");
  Status status = fields.status();
  // Source of the defaults: the ids every Gemma has.
  config.bos_id =
      token_id(header, "tokenizer.ggml.bos_token_id", 2, config.vocabulary_size, status);
  config.eos_id =
      token_id(header, "tokenizer.ggml.eos_token_id", 1, config.vocabulary_size, status);
  NESTOR_RETURN_IF_ERROR(status);
  return config;
}

Result<Vocabulary> gguf_vocabulary(const GgufHeader& header, std::int64_t size,
                                   const std::string& path) {
  const auto damaged = [&](const std::string& problem) {
    return Status(StatusCode::kDataLoss, path + ": " + problem);
  };
  const std::string* model = header.text("tokenizer.ggml.model");
  const GgufValue* prefix = header.find("tokenizer.ggml.add_space_prefix");
  if (model == nullptr || *model != "llama") {
    return Status(StatusCode::kUnsupported,
                  fmt::format("{}: tokenizer.ggml.model is {}; this version does llama (a "
                              "sentencepiece BPE) only",
                              path, model == nullptr ? "missing" : quote_for_message(*model)));
  }
  if (prefix != nullptr && *prefix != GgufValue(false)) {
    return Status(StatusCode::kUnsupported,
                  path +
                      ": tokenizer.ggml.add_space_prefix is not false; this version puts no "
                      "space in front of a text");
  }
  const GgufValue* token_value = header.find("tokenizer.ggml.tokens");
  const GgufValue* score_value = header.find("tokenizer.ggml.scores");
  const GgufValue* kind_value = header.find("tokenizer.ggml.token_type");
  const auto* tokens =
      token_value == nullptr ? nullptr : std::get_if<std::vector<std::string>>(token_value);
  const auto* scores =
      score_value == nullptr ? nullptr : std::get_if<std::vector<double>>(score_value);
  const auto* kinds =
      kind_value == nullptr ? nullptr : std::get_if<std::vector<std::int64_t>>(kind_value);
  if (tokens == nullptr || scores == nullptr || kinds == nullptr) {
    return damaged("it lacks tokenizer.ggml.tokens, .scores or .token_type");
  }
  const auto wanted = static_cast<std::size_t>(size);
  if (tokens->size() < wanted || scores->size() != tokens->size() ||
      kinds->size() != tokens->size()) {
    return damaged(fmt::format("{} tokens, {} scores and {} types for a table of {} rows",
                               tokens->size(), scores->size(), kinds->size(), size));
  }
  Vocabulary vocabulary;
  vocabulary.pieces.resize(wanted);
  for (std::size_t i = 0; i < wanted; ++i) {
    const std::int64_t kind = (*kinds)[i];
    const std::string& text = (*tokens)[i];
    if (kind < 1 || kind > 6 || !std::isfinite((*scores)[i]) || text.empty() ||
        text.size() > kMostPieceBytes || find_invalid_utf8(text).has_value()) {
      return damaged(fmt::format("token {} is {} of {} bytes, with the type {} and the score {}", i,
                                 quote_for_message(text), text.size(), kind, (*scores)[i]));
    }
    vocabulary.pieces[i] = {.text = text,
                            .score = static_cast<float>((*scores)[i]),
                            .kind = static_cast<PieceKind>(kind)};
  }
  Status status;
  vocabulary.bos_id = token_id(header, "tokenizer.ggml.bos_token_id", 2, size, status);
  vocabulary.eos_id = token_id(header, "tokenizer.ggml.eos_token_id", 1, size, status);
  vocabulary.unknown_id = token_id(header, "tokenizer.ggml.unknown_token_id", 3, size, status);
  if (!status.ok()) return status.with_context(path);
  return vocabulary;
}

Vocabulary restore_vocabulary(Vocabulary stored) {
  for (Piece& piece : stored.pieces) spell_spaces(piece.text);
  if (stored.pieces.size() != kKnownSize) return stored;
  Vocabulary known = stored;
  for (std::size_t id = 0; id < kKnownSize; ++id) {
    known.pieces[id].kind = known_kind(id);
    known.pieces[id].score = known_score(id);
  }
  return vocabulary_sha256(known) == known_vocabulary_sha256() ? known : stored;
}

}  // namespace nestor::embed
