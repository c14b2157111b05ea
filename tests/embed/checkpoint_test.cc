#include "embed/checkpoint.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "core/vector_math.h"
#include "embed/safetensors.h"
#include "tests/embed/gguf_writer.h"

namespace nestor::embed {
namespace {

using testing::ScopedEnvironment;
using testing::TempFolder;
using testing::TinyModelCopy;

Result<std::unique_ptr<Checkpoint>> open(const std::string& path, const std::string& companion = {},
                                         bool allow_unverified = true) {
  // Checksums of temporary files must not fill the person's cache.
  const ScopedEnvironment no_cache("XDG_CACHE_HOME", nullptr);
  const ScopedEnvironment no_home("HOME", nullptr);
  return open_checkpoint(
      {.path = path, .companion_folder = companion, .allow_unverified = allow_unverified});
}

std::unique_ptr<Checkpoint> open_good(const std::string& path, const std::string& companion = {}) {
  auto opened = open(path, companion);
  REQUIRE_MESSAGE(opened.ok(), opened.status().to_string());
  return std::move(opened).value();
}

std::unique_ptr<Checkpoint> open_gguf(const std::string& bytes, const std::string& companion = {}) {
  const TempFolder folder;
  testing::write_bytes(folder / "blob", bytes);
  return open_good(folder / "blob", companion);
}

void check_refused(const Result<std::unique_ptr<Checkpoint>>& opened, StatusCode code,
                   const char* part) {
  REQUIRE_FALSE(opened.ok());
  CAPTURE(opened.status().to_string());
  CHECK(opened.status().code() == code);
  CHECK(opened.status().message().find(part) != std::string::npos);
}

void check_gguf_refused(const std::string& bytes, StatusCode code, const char* part,
                        const std::string& companion = {}, bool allow_unverified = true) {
  const TempFolder folder;
  testing::write_bytes(folder / "x.gguf", bytes);
  check_refused(open(folder / "x.gguf", companion, allow_unverified), code, part);
}

std::unique_ptr<Checkpoint> tiny() { return open_good(testing::fixture("tiny-model")); }

std::vector<ExpectedTensor> all_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> all = transformer_tensors(config);
  for (ExpectedTensor& tensor : dense_tensors(config)) all.push_back(std::move(tensor));
  return all;
}

std::vector<float> whole(const Checkpoint& checkpoint, const ExpectedTensor& tensor) {
  std::size_t count = 1;
  for (const std::int64_t size : tensor.shape) count *= static_cast<std::size_t>(size);
  std::vector<float> values(count);
  const Status status = checkpoint.read(tensor.name, 0, values);
  REQUIRE_MESSAGE(status.ok(), status.to_string());
  return values;
}

// The largest difference, as a share of the largest number of the same block of 32.
double worst_error(const std::vector<float>& exact, const std::vector<float>& other) {
  REQUIRE(exact.size() == other.size());
  double worst = 0;
  for (std::size_t i = 0; i < exact.size(); i += 32) {
    double most = 0;
    double difference = 0;
    for (std::size_t j = i; j < std::min(i + 32, exact.size()); ++j) {
      most = std::max(most, std::abs(static_cast<double>(exact[j])));
      difference = std::max(difference, std::abs(static_cast<double>(exact[j]) - other[j]));
    }
    worst = std::max(worst, most == 0 ? difference : difference / most);
  }
  return worst;
}

TEST_CASE("a folder is read with its configuration, vocabulary and 1 + weight norms") {
  const auto checkpoint = tiny();
  const auto file = RandomAccessFile::open(testing::fixture("tiny-model/model.safetensors"));
  REQUIRE(file.ok());
  const auto table = read_safetensors_header(file.value());
  REQUIRE(table.ok());
  for (const ExpectedTensor& tensor : transformer_tensors(checkpoint->config())) {
    CAPTURE(tensor.name);
    std::vector<float> stored = whole(*checkpoint, tensor);
    std::vector<float> raw(stored.size());
    REQUIRE(read_floats(file.value(), NumberFormat::kF32, table.value().at(tensor.name).offset, raw)
                .ok());
    for (float& value : raw) value += tensor.is_norm ? 1.0F : 0.0F;
    CHECK(raw == stored);
  }
  CHECK(checkpoint->vocabulary().pieces.size() ==
        static_cast<std::size_t>(checkpoint->config().vocabulary_size));
  CHECK(checkpoint->identity().format == "safetensors F32");
  CHECK(checkpoint->identity().name.starts_with("unverified-"));
}

TEST_CASE("rows are read from the middle of a tensor") {
  const auto checkpoint = tiny();
  const ExpectedTensor table = transformer_tensors(checkpoint->config()).front();
  const std::vector<float> all = whole(*checkpoint, table);
  std::vector<float> rows(2 * 32);
  REQUIRE(checkpoint->read(table.name, 7, rows).ok());
  CHECK(std::equal(rows.begin(), rows.end(), all.begin() + 7 * 32));
}

TEST_CASE("the identity of a folder is the one its embedder states") {
  const auto checkpoint = tiny();
  const Embedder embedder = testing::open_tiny("scalar");
  const ModelInfo& info = embedder.info();
  CHECK(checkpoint->identity().space == info.space);
  CHECK(checkpoint->identity().name == info.name);
  CHECK(checkpoint->identity().weights_sha256 == info.weights_sha256);
}

// The tiny model's weights in another dtype, another prefix or several files.
void rewrite_weights(const std::string& from, const std::string& to, const std::string& dtype,
                     const std::string& prefix, const std::function<bool(std::string)>& keep) {
  const auto file = RandomAccessFile::open(from);
  REQUIRE(file.ok());
  const auto table = read_safetensors_header(file.value());
  REQUIRE(table.ok());
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, entry] : table.value()) {
    if (!keep(name)) continue;
    std::vector<float> values(entry.bytes / 4);
    REQUIRE(read_floats(file.value(), entry.format, entry.offset, values).ok());
    const std::size_t begin = data.size();
    if (dtype == "F32") data += testing::stored_as(NumberFormat::kF32, values);
    if (dtype == "F16") data += testing::stored_as(NumberFormat::kF16, values);
    if (dtype == "BF16") data += testing::stored_as(NumberFormat::kBf16, values);
    header[prefix + name] = {
        {"dtype", dtype}, {"shape", entry.shape}, {"data_offsets", {begin, data.size()}}};
  }
  ByteWriter bytes;
  bytes.u64(header.dump().size());
  testing::write_bytes(to, bytes.take() + header.dump() + data);
}

bool keep_all(const std::string&) { return true; }

TEST_CASE("BF16 and F16 safetensors are read, by the embedder too") {
  const auto exact = tiny();
  for (const char* dtype : {"BF16", "F16"}) {
    CAPTURE(dtype);
    const TinyModelCopy copy;
    rewrite_weights(testing::fixture("tiny-model/model.safetensors"), copy / "model.safetensors",
                    dtype, "", keep_all);
    const auto checkpoint = open_good(copy.path());
    for (const ExpectedTensor& tensor : transformer_tensors(exact->config())) {
      CHECK(worst_error(whole(*exact, tensor), whole(*checkpoint, tensor)) < 0x1p-8);
    }
    CHECK(checkpoint->identity().format == std::string("safetensors ") + dtype);
    CHECK(checkpoint->identity().space != exact->identity().space);
    const auto embedder = testing::open_model(copy.path(), "scalar");
    REQUIRE_MESSAGE(embedder.ok(), embedder.status().to_string());
    CHECK(embedder.value().info().space == checkpoint->identity().space);
    const auto row = embedder.value().embed_query("Mars is the red planet.");
    const auto wanted = testing::open_tiny("scalar").embed_query("Mars is the red planet.");
    CHECK(dot(row.value().vector, wanted.value().vector) > 0.999);
  }
}

TEST_CASE("names with the prefix model. are the same tensors") {
  const auto exact = tiny();
  const TinyModelCopy copy;
  rewrite_weights(testing::fixture("tiny-model/model.safetensors"), copy / "model.safetensors",
                  "F32", "model.", keep_all);
  const auto checkpoint = open_good(copy.path());
  for (const ExpectedTensor& tensor : all_tensors(exact->config())) {
    CHECK(whole(*exact, tensor) == whole(*checkpoint, tensor));
  }
}

// Splits the weights into two files with an index.
void make_shards(const TinyModelCopy& copy) {
  const std::string whole_file = testing::fixture("tiny-model/model.safetensors");
  const auto in_first = [](const std::string& name) { return name < "layers.3"; };
  rewrite_weights(whole_file, copy / "model-1.safetensors", "F32", "", in_first);
  rewrite_weights(whole_file, copy / "model-2.safetensors", "F32", "",
                  [&](const std::string& name) { return !in_first(name); });
  nlohmann::json map;
  for (const ExpectedTensor& tensor : transformer_tensors(tiny()->config())) {
    map[tensor.name] = in_first(tensor.name) ? "model-1.safetensors" : "model-2.safetensors";
  }
  testing::write_bytes(copy / "model.safetensors.index.json",
                       nlohmann::json{{"weight_map", map}}.dump());
  std::filesystem::remove(copy / "model.safetensors");
}

TEST_CASE("weights in several files are read by their index, which cannot leave the folder") {
  const auto exact = tiny();
  const TinyModelCopy copy;
  make_shards(copy);
  const auto checkpoint = open_good(copy.path());
  for (const ExpectedTensor& tensor : all_tensors(exact->config())) {
    CHECK(whole(*exact, tensor) == whole(*checkpoint, tensor));
  }
  const std::string index = "model.safetensors.index.json";
  const auto damage = [&](const nlohmann::json& file, const char* part) {
    const TinyModelCopy damaged;
    make_shards(damaged);
    damaged.edit_json(index,
                      [&](nlohmann::json& json) { json["weight_map"]["norm.weight"] = file; });
    check_refused(open(damaged.path()), StatusCode::kDataLoss, part);
  };
  damage("../model-2.safetensors", "plain name");
  damage("/etc/model.safetensors", "plain name");
  damage("", "plain name");
  damage(7, "plain name");
  damage("model-1.safetensors", "is not where");
  testing::write_bytes(copy / index, "{}");
  check_refused(open(copy.path()), StatusCode::kDataLoss, "weight_map");
}

TEST_CASE("a folder whose tensors are not those of its configuration is refused") {
  const TinyModelCopy copy;
  copy.edit_json("config.json", [](nlohmann::json& json) { json["intermediate_size"] = 49; });
  check_refused(open(copy.path()), StatusCode::kDataLoss, "[48, 32]");
  copy.edit_json("config.json", [](nlohmann::json& json) {
    json["intermediate_size"] = 48;
    json["num_hidden_layers"] = 5;
    json["layer_types"].erase(5);
  });
  check_refused(open(copy.path()), StatusCode::kDataLoss, "does not call for");
  std::filesystem::remove(copy / "model.safetensors");
  check_refused(open(copy.path()), StatusCode::kNotFound, "model.safetensors.index.json");
  check_refused(open(testing::fixture("tiny-model"), {}, false), StatusCode::kUnsupported,
                "known tokenizer");
}

TEST_CASE("every number format of a GGUF gives the numbers of the folder, as near as it can") {
  const auto exact = tiny();
  struct Case {
    NumberFormat format;
    const char* name;
    double error;
  };
  for (const Case& one :
       {Case{NumberFormat::kF32, "GGUF F32", 0}, Case{NumberFormat::kF16, "GGUF F16", 0x1p-11},
        Case{NumberFormat::kBf16, "GGUF BF16", 0x1p-8},
        Case{NumberFormat::kQ8_0, "GGUF Q8_0", 1.0 / 254 + 0x1p-11},
        Case{NumberFormat::kQ4_0, "GGUF Q4_0", 1.0 / 8 + 0x1p-11}}) {
    CAPTURE(std::string(one.name));
    const auto checkpoint = open_gguf(testing::tiny_gguf(*exact, {.format = one.format}).file());
    CHECK(checkpoint->identity().format == one.name);
    for (const ExpectedTensor& tensor : all_tensors(exact->config())) {
      CAPTURE(tensor.name);
      CHECK(worst_error(whole(*exact, tensor), whole(*checkpoint, tensor)) <= one.error);
    }
    std::vector<float> row(32), all = whole(*checkpoint, transformer_tensors(exact->config())[0]);
    REQUIRE(checkpoint->read("embed_tokens.weight", 9, row).ok());
    CHECK(std::equal(row.begin(), row.end(), all.begin() + 9 * 32));
  }
}

TEST_CASE("both spellings of a GGUF give the configuration and vocabulary of the folder") {
  const auto exact = tiny();
  for (const bool ollama : {false, true}) {
    CAPTURE(ollama);
    const auto checkpoint = open_gguf(testing::tiny_gguf(*exact, {.ollama = ollama}).file());
    const ModelConfig& config = checkpoint->config();
    const ModelConfig& wanted = exact->config();
    CHECK(config.vocabulary_size == wanted.vocabulary_size);
    CHECK(config.hidden_size == wanted.hidden_size);
    CHECK(config.head_count == wanted.head_count);
    CHECK(config.key_head_count == wanted.key_head_count);
    CHECK(config.head_width == wanted.head_width);
    CHECK(config.feed_forward_size == wanted.feed_forward_size);
    CHECK(config.context_tokens == wanted.context_tokens);
    CHECK(config.local_reach == wanted.local_reach);
    CHECK(config.layers == wanted.layers);
    CHECK(config.norm_epsilon == wanted.norm_epsilon);
    CHECK(config.score_scale == wanted.score_scale);
    CHECK(config.local_rotation_base == wanted.local_rotation_base);
    CHECK(config.full_rotation_base == wanted.full_rotation_base);
    CHECK(config.bos_id == wanted.bos_id);
    CHECK(config.eos_id == wanted.eos_id);
    CHECK(config.output_width() == wanted.output_width());
    CHECK(config.prompts.search_query == wanted.prompts.search_query);
    CHECK(config.prompts.code_retrieval == wanted.prompts.code_retrieval);
    CHECK(vocabulary_sha256(checkpoint->vocabulary()) == vocabulary_sha256(exact->vocabulary()));
    for (const ExpectedTensor& tensor : all_tensors(wanted)) {
      CHECK(whole(*exact, tensor) == whole(*checkpoint, tensor));
    }
  }
}

TEST_CASE("a GGUF without Dense modules is refused, or takes them from the companion folder") {
  const auto exact = tiny();
  const std::string bytes = testing::tiny_gguf(*exact, {.dense = false}).file();
  check_gguf_refused(bytes, StatusCode::kUnsupported, "--from FOLDER");
  check_gguf_refused(bytes, StatusCode::kUnsupported, "dense_2.weight");
  const TempFolder empty;
  check_gguf_refused(bytes, StatusCode::kUnsupported, "lacks them too", empty.path());
  const TinyModelCopy companion;
  companion.edit_json("config_sentence_transformers.json",
                      [](nlohmann::json& json) { json["prompts"]["query"] = "mine: "; });
  const auto checkpoint = open_gguf(bytes, companion.path());
  for (const ExpectedTensor& tensor : all_tensors(exact->config())) {
    CHECK(whole(*exact, tensor) == whole(*checkpoint, tensor));
  }
  CHECK(checkpoint->config().prompts.search_query == "mine: ");
  CHECK(checkpoint->identity().tokenizer_sha256 == exact->identity().tokenizer_sha256);
  CHECK(checkpoint->identity().space !=
        open_gguf(testing::tiny_gguf(*exact, {}).file())->identity().space);
  std::filesystem::remove_all(companion / "3_Dense");
  check_gguf_refused(bytes, StatusCode::kNotFound, "3_Dense", companion.path());
}

TEST_CASE("half of the Dense modules is no head") {
  testing::GgufWriter writer = testing::tiny_gguf(*tiny(), {});
  writer.tensors().pop_back();
  check_gguf_refused(writer.file(), StatusCode::kDataLoss, "dense_3.weight is missing");
}

TEST_CASE("an unknown vocabulary in a GGUF needs a person's word") {
  check_gguf_refused(testing::tiny_gguf(*tiny(), {}).file(), StatusCode::kUnsupported,
                     "tokenizer.model of its model with --from", {}, false);
}

TEST_CASE("unknown GGUF files are spaces of their own") {
  const auto exact = tiny();
  const auto first = open_gguf(testing::tiny_gguf(*exact, {}).file());
  const auto second = open_gguf(testing::tiny_gguf(*exact, {.format = NumberFormat::kQ8_0}).file());
  CHECK(first->identity().name == "unverified-" + first->identity().weights_sha256.substr(0, 8));
  CHECK(first->identity().space != second->identity().space);
  CHECK(first->identity().space != exact->identity().space);
}

// The tiny GGUF with one metadata pair more or another architecture.
void check_metadata_refused(const std::function<void(testing::GgufWriter&)>& add, StatusCode code,
                            const char* part, bool ollama = false) {
  testing::GgufWriter writer = testing::tiny_gguf(*tiny(), {.ollama = ollama});
  add(writer);
  check_gguf_refused(writer.file(), code, part);
}

TEST_CASE("what this encoder does not do is refused by its key") {
  const StatusCode unsupported = StatusCode::kUnsupported;
  check_metadata_refused([](auto& w) { w.flag("gemma-embedding.attention.causal", true); },
                         unsupported, "attention.causal");
  check_metadata_refused([](auto& w) { w.f32("gemma-embedding.attn_logit_softcapping", 50); },
                         unsupported, "softcapping");
  check_metadata_refused([](auto& w) { w.text("gemma-embedding.rope.scaling.type", "yarn"); },
                         unsupported, "'yarn'");
  check_metadata_refused(
      [](auto& w) { w.tensor("blk.0.attn_q.bias", {48}, 0, std::string(192, '\0')); }, unsupported,
      "'blk.0.attn_q.bias' among them");
  check_metadata_refused(
      [](auto& w) { w.u32("gemma-embedding.attention.sliding_window_pattern", 0); },
      StatusCode::kDataLoss, "sliding_window_pattern");
  testing::GgufWriter other;
  other.text("general.architecture", "llama");
  check_gguf_refused(other.file(), unsupported, "'llama'");
  check_gguf_refused(testing::GgufWriter().file(), unsupported, "not named");
  testing::GgufWriter chat;
  chat.text("general.architecture", "gemma3");  // no pooling type: a model that chats
  check_gguf_refused(chat.file(), unsupported, "gemma3 with a pooling type");
}

TEST_CASE("absurd sizes in the metadata are refused by their key") {
  const auto config_with = [](const char* key, std::uint32_t value) {
    testing::GgufWriter writer;
    ModelConfig config = tiny()->config();
    config.head_count = 0;
    testing::write_sizes(writer, config, false);
    writer.u32(key, value);
    writer.tensor("token_embd.weight", {32, 400}, 0, std::string(51'200, '\0'));
    return writer.file();
  };
  check_gguf_refused(config_with("x", 1), StatusCode::kDataLoss, "attention.head_count\" is 0");
  testing::GgufWriter empty;
  empty.text("general.architecture", "gemma-embedding");
  check_gguf_refused(empty.file(), StatusCode::kDataLoss, "token_embd.weight is missing");
  empty.tensor("token_embd.weight", {32, 400}, 0, std::string(51'200, '\0'));
  check_gguf_refused(empty.file(), StatusCode::kDataLoss, "is missing");
}

TEST_CASE("a vocabulary that does not fit the table is refused") {
  const auto exact = tiny();
  Vocabulary fewer = exact->vocabulary();
  fewer.pieces.pop_back();
  testing::GgufWriter writer;
  testing::write_sizes(writer, exact->config(), false);
  testing::write_vocabulary(writer, fewer);
  testing::GgufWriter good = testing::tiny_gguf(*exact, {});
  for (auto& tensor : good.tensors()) {
    writer.tensor(tensor.name, tensor.dimensions, tensor.type, tensor.data);
  }
  check_gguf_refused(writer.file(), StatusCode::kDataLoss, "tokens");
}

TEST_CASE("NaN and infinity in either format are refused when they are read") {
  const auto exact = tiny();
  testing::GgufWriter writer = testing::tiny_gguf(*exact, {});
  const float infinity = std::numeric_limits<float>::infinity();
  std::memcpy(writer.tensors()[1].data.data(), &infinity, sizeof infinity);
  const auto checkpoint = open_gguf(writer.file());
  std::vector<float> row(32);
  const Status status = checkpoint->read("layers.0.input_layernorm.weight", 0, row);
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK(status.message().find("\"layers.0.input_layernorm.weight\" holds NaN") !=
        std::string::npos);
  // An infinite scale of a block.
  writer = testing::tiny_gguf(*exact, {.format = NumberFormat::kQ8_0});
  writer.tensors()[0].data[0] = '\0';
  writer.tensors()[0].data[1] = '\x7c';
  CHECK(open_gguf(writer.file())->read("embed_tokens.weight", 0, row).code() ==
        StatusCode::kDataLoss);
}

TEST_CASE("files of neither kind are refused by name") {
  const TempFolder folder;
  check_refused(open(folder / "nothing"), StatusCode::kNotFound, "nothing");
  testing::write_bytes(folder / "text", "hello");
  check_refused(open(folder / "text"), StatusCode::kUnsupported, "neither a model's folder");
  testing::write_bytes(folder / "empty", "");
  check_refused(open(folder / "empty"), StatusCode::kUnsupported, "neither a model's folder");
}

TEST_CASE("a tiny GGUF cut or flipped anywhere in its header opens or is refused, never a signal") {
  const auto exact = tiny();
  testing::GgufWriter writer = testing::tiny_gguf(*exact, {.format = NumberFormat::kQ4_0});
  const std::string whole_file = writer.file();
  const std::size_t header = writer.header().size();
  const TempFolder folder;
  int refused = 0;
  // Every byte of the first pairs and of the last tensor's entry; of the long lists one in 97.
  for (std::size_t i = 0; i < header; i += i < 700 || i + 100 > header ? 1 : 97) {
    std::string bytes = whole_file;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
    testing::write_bytes(folder / "x", bytes);
    if (!open(folder / "x").ok()) ++refused;
    testing::write_bytes(folder / "x", whole_file.substr(0, i));
    REQUIRE_FALSE(open(folder / "x").ok());
  }
  CHECK(refused > 400);
}

}  // namespace
}  // namespace nestor::embed
